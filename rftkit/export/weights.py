"""The adapter merged into the base's own 16-bit weights, and compared with them, tensor by tensor.

The sum is taken in 32 bit and rounded once. A recipe that trained on a 4-bit copy merges into the
base as it was published, not into that copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.utils import logging as transformers_logging

from rftkit.errors import ModelError
from rftkit.export.publish import ProofError
from rftkit.messages import first_line
from rftkit.models import adapters, loading

SHARD = "5GB"


class Merged(NamedTuple):
    """How many tensors were merged, of how many, and which of the base's were left out."""

    changed: int
    tensors: int
    left_out: tuple[str, ...]
    dtype: str

    def words(self) -> str:
        """For the terminal."""
        text = (
            f"{self.changed} of {self.tensors} tensors merged in {self.dtype}, the others are the "
            "base's, bit for bit"
        )
        if not self.left_out:
            return text
        n, first = len(self.left_out), self.left_out[0]
        return f"{text}; {n} that transformers does not load are left out, such as {first}"


def base_folder(source: loading.Source) -> Path:
    """The base's files on this machine: its folder, or the snapshot of a hub id.

    Raises ModelError if they cannot be had, or are pickled.
    """
    folder = Path(source.name)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(
                snapshot_download(
                    source.name, revision=source.revision, ignore_patterns=["*.bin", "*.pth"]
                )
            )
        except OSError as error:
            raise loading.not_loaded(source, error) from None
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: no *.safetensors; pickled weights are not read")
    return folder


def merge(base: Path, adapter: Path, folder: Path) -> Merged:
    """Write the merged weights into a folder. Raises ModelError if the adapter does not fit."""
    adapters.check_adapter(adapter)
    transformers_logging.disable_progress_bar()
    dtype = stored_dtype(base)
    source = loading.Source(str(base), None)
    with loading.reading(source):
        loading.check_architecture(source)
    model = loading.read_weights(source, dtype=dtype)
    model = adapters.put_adapter(model, adapter)
    adapted = _merge(model)
    try:
        model.unload().save_pretrained(folder, max_shard_size=SHARD)
    except SafetensorError as error:  # safetensors' word for a full disk is no OSError
        raise ModelError(
            f"the merged weights cannot be written ({first_line(error)}); make room on the disk, "
            "or name another one with --out"
        ) from None
    for path in folder.glob("*.safetensors"):  # which are made for their owner alone
        path.chmod((folder / "config.json").stat().st_mode)
    return check_merged(base, folder, adapted)


@torch.no_grad()
def _merge(model: Any) -> int:
    """Add every adapter to its matrix; how many there are."""
    adapted = [module for module in model.modules() if hasattr(module, "lora_A")]
    for module in adapted:
        weight = module.get_base_layer().weight
        for name in module.active_adapters:
            update = module.get_delta_weight(name).float()
            weight.copy_((weight.float() + update).to(weight.dtype))
    return len(adapted)


def check_merged(base: Path, folder: Path, adapted: int) -> Merged:
    """Compare both, tensor by tensor.

    Raises ProofError for a name that the base has not, one that is not finite, and more changed
    tensors than the adapter has matrices.
    """
    before, after = _places(base), _places(folder)
    if extra := sorted(set(after) - set(before)):
        raise ProofError(f"{folder}: {len(extra)} tensors that the base has not, as {extra[0]}")
    changed = list[str]()
    for name, (old, new) in _pairs(before, after):
        if old.shape != new.shape or not torch.isfinite(new).all():
            raise ProofError(f"{folder}: {name} has another shape, or is not finite")
        if not torch.equal(old.to(new.dtype), new):
            changed.append(name)
    if len(changed) > adapted:
        raise ProofError(
            f"{folder}: {len(changed)} tensors differ from the base's, and the adapter has "
            f"{adapted}; the first is {changed[0]}"
        )
    left_out = tuple(sorted(set(before) - set(after)))
    kind = str(stored_dtype(folder)).removeprefix("torch.")
    return Merged(len(changed), len(after), left_out, kind)


def stored_dtype(folder: Path) -> torch.dtype:
    """The number format that most of a folder's weights are stored in."""
    counts = dict[torch.dtype, int]()
    for name, path in _places(folder).items():
        with safe_open(path, "pt") as file:
            part = file.get_slice(name)
            dtype = DTYPES.get(part.get_dtype(), torch.float32)
            counts[dtype] = counts.get(dtype, 0) + _size(part.get_shape())
    return max(counts, key=lambda dtype: counts[dtype])


DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _places(folder: Path) -> dict[str, Path]:
    """Name of each tensor -> the file that holds it."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        held = json.loads(index.read_text("utf-8"))["weight_map"]
        return {name: folder / file for name, file in held.items()}
    places = dict[str, Path]()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            places |= dict.fromkeys(file.keys(), path)
    return places


def _pairs(
    before: dict[str, Path], after: dict[str, Path]
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    for name, path in after.items():
        with safe_open(before[name], "pt") as old, safe_open(path, "pt") as new:
            yield name, (old.get_tensor(name), new.get_tensor(name))
