"""Weights from a hub id, a local folder or the built-in tiny model, on whatever device is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import (
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    GenerationConfig,
    PretrainedConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import find_adapter_config_file
from transformers.utils import logging as transformers_logging

from rftkit.errors import ModelError, UserError
from rftkit.messages import first_line, in_short
from rftkit.model_info import demands
from rftkit.model_info.count import SENSES
from rftkit.models import base_files
from rftkit.models.out_of_memory import lost, ran_out
from rftkit.models.processing.budget import limit_tiles
from rftkit.models.processing.load import load_processor
from rftkit.patches.transformers import (
    MissingWeightsError,
    configurations_by,
    no_foreign_code,
    no_random_weights,
)
from rftkit.recipe.sections import TINY, Model

# parts of the model that stay in 16 bit: encoders, what joins them to the language model, the head
UNQUANTISED = (
    *("visual", "vision_model", "vision_tower", "embed_vision", "connector"),
    *("multi_modal_projector", "audio_tower", "embed_audio", "lm_head"),
)
# what a model's folder has beside its weights: one of each
PARTS = (
    ("config.json",),
    ("tokenizer.json", "tokenizer.model", "vocab.json"),
    ("preprocessor_config.json", "processor_config.json"),
)
VISION = f".*({SENSES.pattern}).*"  # module names of encoders and projectors

no_foreign_code()


class Source(NamedTuple):
    """Where weights come from: a folder or a hub id, and a revision if one is pinned."""

    name: str
    revision: str | None


def resolve(name: str) -> Source:
    """The source that a recipe's `model.name` means; builds the tiny model if it is that.

    Raises ModelError for a folder that holds no model, or links that lead out of it.
    """
    if name in TINY:
        from rftkit.models.tiny.cache import ensure_tiny

        return Source(str(ensure_tiny(name)), None)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"model.name: {name}: no config.json there; name a model folder")
        base_files.check_links(folder, name)
        return Source(str(folder), None)
    if name.startswith((".", "/", "~")):
        raise ModelError(f"model.name: {name}: no such folder")
    identity, _, revision = name.partition("@")
    return Source(identity, revision or None)


def longest(source: Source) -> int:
    """Tokens that the model was made for: prompt, images and reply."""
    from transformers import AutoConfig

    with reading(source):
        config = AutoConfig.from_pretrained(
            source.name, revision=source.revision, trust_remote_code=False
        )
        return int(config.get_text_config().max_position_embeddings)


def dtype_here() -> torch.dtype:
    """The number format this machine trains in: bf16 from Ampere on, fp16 before, fp32 on CPU."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16


def check_architecture(source: Source) -> None:
    """Raises ModelError if transformers has no image-text model of the source's `model_type`.

    The Python files that such a model may bring along (`auto_map`) are never run, nor is anything
    fetched or loaded that its files name elsewhere (`demands`, `base_files`), nor is an adapter
    beside it taken for a part of it, whose own base transformers would load instead. Raises OSError
    if the source has no configuration.
    """
    config, _ = PretrainedConfig.get_config_dict(source.name, revision=source.revision)
    demands.refuse(source.name, source.revision, config)
    base_files.check_named(source.name, source.revision)
    if find_adapter_config_file(source.name, revision=source.revision):
        raise ModelError(
            f"model.name: {source.name}: is an adapter, or holds one beside its weights; name the "
            "base model alone"
        )
    kind = config.get("model_type")
    if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return
    if config.get("auto_map"):
        reason = "needs Python code of its own (auto_map), which rftkit never runs"
    else:
        reason = "is no image-text model"
    raise ModelError(
        f"model.name: {source.name}: model_type {kind!r} {reason}; name a model that transformers "
        f"{transformers.__version__} knows, such as Qwen/Qwen2.5-VL-3B-Instruct"
    )


def load_model(source: Source, settings: Model) -> Any:
    """The bare model, on this machine's device, NF4 if the recipe asks for it.

    Raises ModelError if it cannot be found or has another architecture.
    """
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype_here(), "revision": source.revision}
    if settings.load_in_4bit:
        options["quantization_config"] = nf4()
    if torch.cuda.is_available():
        options["device_map"] = {"": 0}
    with reading(source):
        check_architecture(source)
        demands.check_size(source.name)
    model = read_weights(source, **options)
    limit_tiles(model, settings.max_pixels)
    settle(source, model)
    return model


def settle(source: Source, model: Any) -> None:
    """From now on a model generates as its caller says, until one of its own tokens for the end.

    Its generation_config.json would fill in all that a caller leaves open, penalties and biases
    among it, whose distribution is not the one that log-probabilities are computed from. Raises
    ModelError for ends that are no tokens.
    """
    ends = demands.ends(source.name, model.generation_config)
    model.generation_config = GenerationConfig(**ends)


def read_weights(source: Source, **options: Any) -> Any:
    """The model whose weights lie there, as safetensors and whole.

    Raises ModelError for pickled, damaged or missing ones: transformers would draw a missing tensor
    at random and go on. So too for those that are not quantised as their configuration says.
    """
    with reading(source), whole(source):
        model = AutoModelForImageTextToText.from_pretrained(
            source.name, trust_remote_code=False, use_safetensors=True, **options
        )
    demands.check_quantised(source.name, model)
    return model


@contextmanager
def whole(source: Source) -> Iterator[None]:
    """Raises ModelError for a model that is loaded within it and whose files lack weights.

    Whatever attention its configuration names, it gets one of torch's own.
    """
    try:
        with no_random_weights(), configurations_by(demands.with_own_attention):
            yield
    except MissingWeightsError as error:
        first, *others = error.names
        more = f" and {len(others)} more" if others else ""
        raise ModelError(
            f"model.name: {source.name}: no weights for {first}{more}; download it again"
        ) from None


def load_processor_of(source: Source, settings: Model) -> Any:
    """The processor of that model, with the recipe's image budget."""
    with reading(source):
        check_architecture(source)
        return load_processor(source.name, settings.max_pixels, source.revision)


def nf4() -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantisation; vision encoder and output layer stay as they are.

    transformers matches the names to skip as prefixes of the full module path.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype_here(),
        llm_int8_skip_modules=[
            part if part == "lm_head" else f"model.{part}" for part in UNQUANTISED
        ],
    )


def lora(settings: Model) -> Any:
    """The adapter's configuration: every linear layer of the language model, vision if asked."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=None if settings.lora_vision else VISION,
        task_type="CAUSAL_LM",
    )


def fingerprint(source: Source) -> str:
    """A hash of local weights; a model from the hub is known by its name and revision."""
    folder = Path(source.name)
    if folder.is_dir():
        return base_files.digest(folder)
    return hashlib.sha256(f"{source.name} {source.revision}".encode()).hexdigest()


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Within it whatever a library raises for the files of a model becomes a ModelError.

    Files that are damaged, or a stranger's, make them raise anything. Memory that runs out
    and a lost GPU pass: the caller puts them in words. For a local folder nothing is fetched.
    """
    try:
        with base_files.alone(source.name):
            yield
    except UserError:
        raise
    except Exception as error:
        if ran_out(error) or lost(error):
            raise
        raise not_loaded(source, error) from error


@contextmanager
def answering(source: Source) -> Iterator[None]:
    """Within it what a library raises for a model that was loaded becomes a ModelError.

    A stranger's numbers are seen to be wrong only when they are used. What rftkit's own code raises
    passes, as do memory that runs out and a lost GPU.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if ran_out(error) or lost(error) or _ours(error):
            raise
        reason = f"it cannot answer ({in_short(error, 160)})"
        raise ModelError(
            f"model.name: {source.name}: {reason}; copy it again, or name another"
        ) from error


def _ours(error: BaseException) -> bool:
    """Whether it was raised by a line of rftkit's."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("rftkit.")


def not_loaded(source: Source, error: Exception) -> ModelError:
    """The line for a model that could not be loaded, with the first of the reason."""
    first = first_line(error) if isinstance(error, OSError) else in_short(error, 160)
    remedy = "check the id and the network, or name a local folder"
    if (folder := Path(source.name)).is_dir():
        parts = {path.name for path in folder.iterdir()}
        missing = [" or ".join(names) for names in PARTS if not parts & {*names}]
        remedy = f"it has no {missing[0]}, copy it again" if missing else "copy it again"
    return ModelError(f"model.name: {source.name}: cannot be loaded ({first}); {remedy}")
