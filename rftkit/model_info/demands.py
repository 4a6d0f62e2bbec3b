"""What the files of a model may not ask for: code, another repository, a file elsewhere, too much.

They may be a stranger's, and transformers does what they say without a word, or after a question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rftkit.errors import ModelError, TookTooLong, time_limit
from rftkit.model_info.count import count

COUNTS = re.compile("layers|depth|experts|heads|blocks|labels")  # what libraries make one by one
MOST_OF_A_KIND = 10_000
COUNTED_WITHIN = 20.0  # seconds
MOST_PER_BYTE = 6  # parameters: four bits have 2, the smallest quantisations 4
DEEPEST = 8  # tables within tables of a configuration that a library looks into
ATTENTION = (None, "eager", "sdpa")  # torch's own
EXPERTS = (None, "eager", "batched_mm", "grouped_mm")  # torch's own
PROCESSOR, AUDIO = "processor_config.json", "audio_tokenizer_config.json"
INDEX, WEIGHTS = "model.safetensors.index.json", "transformers_weights"
# layers of bitsandbytes, and what their weights have that others have not
QUANTISED = {"Linear4bit": "compress_statistics", "Linear8bitLt": "CB"}
# where text begins and ends: all that a model's own generation_config.json decides
ENDS = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")
ELSEWHERE = ("audio_tokenizer", "_name_or_path", "repo_id")  # keys that name another model, or end


def refuse(name: str, revision: str | None, config: Mapping[str, Any]) -> None:
    """Raises ModelError if a model's files ask for what none may have. name: a folder or a hub id.

    config: its config.json. Raises ValueError for files that are no JSON.
    """
    fault = _of_config(config) or _of_processor(name, revision) or _of_weights(name, revision)
    if fault:
        raise ModelError(f"model.name: {name}: {fault}")


def check_size(name: str) -> None:
    """Raises ModelError for a local folder with far fewer weights than its configuration asks for.

    transformers would draw the others at random first, whatever memory and time that takes.
    """
    from transformers import PretrainedConfig

    folder = Path(name)
    if not folder.is_dir():
        return
    held = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    config, _ = PretrainedConfig.get_config_dict(name)
    asked = f"model.name: {name}: its config.json is of"
    try:
        with time_limit(COUNTED_WITHIN):
            size = count(config).size
    except TookTooLong:
        raise ModelError(f"{asked} too many parameters to count; copy the model again") from None
    if held and size > MOST_PER_BYTE * held:
        have = f"its weights have {held:,} bytes"
        raise ModelError(f"{asked} {size:,} parameters, {have}; copy the model again")


def check_quantised(name: str, model: Any) -> None:
    """Raises ModelError for a model whose layers are of 4 or 8 bit and whose weights are not."""
    for layer in model.modules():
        mark = QUANTISED.get(type(layer).__name__)
        if mark and not hasattr(layer.weight, mark):
            raise ModelError(
                f"model.name: {name}: its config.json has a quantization_config, and its weights "
                "are not quantised; copy the model again"
            )


def ends(name: str, generation: object) -> dict[str, int | list[int] | None]:
    """Where text begins and ends, by a model's generation config.

    Raises ModelError for what is no token's number.
    """
    found = {key: getattr(generation, key, None) for key in ENDS}
    for key, value in found.items():
        ids = value if isinstance(value, list) else [value]
        if value is not None and not all(type(one) is int for one in ids):
            raise ModelError(
                f"model.name: {name}: its generation_config.json has {str(value)[:60]!r} as {key}, "
                "which is no token's number; copy the model again"
            )
    return found


def with_own_attention(config: Any, depth: int = 0) -> Any:
    """A configuration without the attentions that it names, where one of them is not torch's own.

    transformers fetches flash attention from the hub where it is not installed, and a configuration
    outweighs what its caller says.
    """
    if not isinstance(config, dict) or depth > DEEPEST:
        return config
    return {
        key: with_own_attention(value, depth + 1)
        for key, value in config.items()
        if "attn" not in key or all(name in ATTENTION for _, name in _asked({key: value}))
    }


def table(name: str, revision: str | None, file: str) -> Any:
    """What a file of the model's holds; nothing if it has none of that name."""
    from transformers.utils import cached_file

    path = cached_file(
        name,
        file,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return {}
    return json.loads(Path(path).read_text("utf-8"))


def entries(held: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The keys of a configuration with their values, those of tables and lists within it too."""
    if depth > DEEPEST:
        return
    if isinstance(held, dict):
        for key, value in held.items():
            yield key, value
            yield from entries(value, depth + 1)
    elif isinstance(held, list):
        for value in held:
            yield from entries(value, depth + 1)


def _of_config(config: Any) -> str | None:
    for key, value in _asked(config):
        experts = "experts" in key and value not in EXPERTS
        if experts or (isinstance(value, str) and "/" in value):
            return (
                f"its config.json asks for the kernel {str(value)[:60]!r} of the hub, which is "
                "code, and rftkit never fetches any; remove it there"
            )
    for key, value in entries(config):
        if COUNTS.search(key) and isinstance(value, int) and value > MOST_OF_A_KIND:
            return f"its config.json asks for {value:,} {key}; copy the model again"
    return _elsewhere("config.json", WEIGHTS, config.get(WEIGHTS))


def _of_processor(name: str, revision: str | None) -> str | None:
    """transformers would load what they name, wherever that is and with its code if it has any."""
    for file in (PROCESSOR, AUDIO):
        for key, value in entries(table(name, revision, file)):
            if value is not None and key.endswith(ELSEWHERE) and key != "_name_or_path":
                return (
                    f"its {file} names another model ({key}), which rftkit never loads; remove "
                    "that there"
                )
    return None


def _of_weights(name: str, revision: str | None) -> str | None:
    held = table(name, revision, INDEX)
    shards = held.get("weight_map") if isinstance(held, dict) else None
    for shard in shards.values() if isinstance(shards, dict) else ():
        if fault := _elsewhere(INDEX, "weights", shard):
            return fault
    return None


def _elsewhere(file: str, key: str, value: object) -> str | None:
    """What is wrong with the name of a file of weights: those of one model lie in one folder."""
    plain = isinstance(value, str) and Path(value).name == value and "\\" not in value
    if value is None or (plain and str(value).endswith(".safetensors")):
        return None
    return (
        f"its {file} names {str(value)[:60]!r} as {key}, which is no *.safetensors file beside it; "
        "copy the model again"
    )


def _asked(config: Any) -> Iterator[tuple[str, Any]]:
    """The implementations that a configuration names, for the whole model or parts of it."""
    for key, value in entries(config):
        if key.strip("_").removesuffix("_internal").endswith("implementation"):
            for name in value.values() if isinstance(value, dict) else [value]:
                yield key, name
