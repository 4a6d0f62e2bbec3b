"""A policy whose model Unsloth has loaded: 4-bit on one CUDA GPU. The only file that imports it.

Import this before TRL, within `importing_unsloth`: Unsloth patches TRL's trainers as it loads.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsloth import FastVisionModel

from rftkit.hardware.backends import EngineRoom
from rftkit.models import adapters, loading
from rftkit.models.processing.budget import limit_tiles
from rftkit.models.transformers import TransformersPolicy
from rftkit.models.vllm_options import images_of_engine
from rftkit.patches.unsloth import engine_with
from rftkit.recipe.sections import Model

UNCUT = 32_768  # tokens, more than any prompt: Unsloth's own limit would cut images in two


@dataclass(frozen=True)
class Training:
    """What a model needs to know to be trained.

    seed: of the adapter's first weights. checkpointed: whether layers are computed again in the
    backward pass. engine: what vLLM gets where it writes the completions.
    """

    seed: int = 0
    checkpointed: bool = True
    engine: EngineRoom | None = None


def open_unsloth(
    settings: Model, adapter: Path | None = None, training: Training | None = None
) -> TransformersPolicy:
    """The recipe's model through Unsloth: with a trained adapter on it, a new one, or none.

    training: given where it is to be trained; then a new adapter is put on it. What Unsloth
    prints meanwhile goes to standard error.
    """
    if adapter:
        adapters.check_adapter(adapter)
    with redirect_stdout(sys.stderr):
        return _opened(settings, adapter, training)


def _opened(settings: Model, adapter: Path | None, training: Training | None) -> TransformersPolicy:
    source = loading.resolve(settings.name)
    # Unsloth's own processor may be patched: ours is the one that every backend shares
    processor = loading.load_processor_of(source, settings)
    options = _options(settings, source, training)
    with loading.reading(source):
        engine = engine_with(images_of_engine(processor), loading.UNQUANTISED)
        with engine if "fast_inference" in options else nullcontext(), loading.whole(source):
            model, _ = FastVisionModel.from_pretrained(
                source.name, trust_remote_code=False, **options
            )
    limit_tiles(model, settings.max_pixels)
    loading.settle(source, model)
    if adapter:
        model = adapters.put_adapter(model, adapter)
    elif training:
        model = _with_new_adapter(model, settings, training)
    return TransformersPolicy(settings, source, model, processor, "unsloth")


def _options(settings: Model, source: loading.Source, training: Training | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "revision": source.revision,
        "dtype": loading.dtype_here(),
        "load_in_4bit": settings.load_in_4bit,
        "max_seq_length": _limit(source, training),
        "attn_implementation": "sdpa",  # flash attention takes no packed rows
        "use_safetensors": True,
        "use_exact_model_name": True,  # no silent swap for another repository's weights
        "use_gradient_checkpointing": _checkpointing(training),
    }
    if training and training.engine:
        options |= {
            "fast_inference": True,
            "gpu_memory_utilization": training.engine.share,
            "max_lora_rank": settings.lora_rank,
            # left to itself it takes 8 or 16 from a small share: the rest would wait for a turn
            "max_num_seqs": training.engine.rows,
        }
    elif settings.load_in_4bit:
        # left to itself it quantises the encoder of some families; `engine_with` tells vLLM
        options["quantization_config"] = loading.nf4()
    return options


def _limit(source: loading.Source, training: Training | None) -> int:
    """Where Unsloth cuts sequences. Above what the model was made for it would scale positions."""
    asked = training.engine.longest if training and training.engine else UNCUT
    return min(asked, loading.longest(source))


def _with_new_adapter(model: Any, settings: Model, training: Training) -> Any:
    return FastVisionModel.get_peft_model(
        model,
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        lora_dropout=0.0,
        bias="none",
        random_state=training.seed,
        finetune_vision_layers=settings.lora_vision,
        finetune_language_layers=True,
        finetune_attention_modules=True,
        finetune_mlp_modules=True,
        use_gradient_checkpointing=_checkpointing(training),
    )


def _checkpointing(training: Training | None) -> str | bool:
    """Unsloth's own, which keeps the inputs of layers in the computer's memory, or none."""
    return "unsloth" if training and training.checkpointed else False
