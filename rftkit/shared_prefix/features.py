"""What a frozen vision tower sees in a picture, computed once: a memory in front of the tower."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.shared_prefix.forward import M_ROPE, bare
from rftkit.shared_prefix.lru import Memory

LIMIT = 2**28  # bytes of features that are kept, on the model's device
TOWER = ("visual", "vision_model", "connector")  # what stands between pixels and the text model


class Seen(NamedTuple):
    """Features of one picture, or of one row of them; `deeper`: those for later layers."""

    features: Sequence[Tensor]
    deeper: Sequence[Tensor]


def is_frozen(model: Any) -> bool:
    """Whether training leaves the tower as it is. Ask while the adapter is on."""
    parts = [part for name, part in bare(model).base_model.named_children() if name in TOWER]
    return not any(weight.requires_grad for part in parts for weight in part.parameters())


class FeatureMemory:
    """The features of the pictures seen, over all epochs. Only for a tower that `is_frozen`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.memory: Memory[Seen] = Memory(limit, _size)

    @contextmanager
    def used_by(self, model: Any) -> Iterator[None]:
        """Within it the model asks this memory before its tower."""
        if hasattr(bare(model), "_supports_mm_encoder_outputs"):  # transformers 5.19 and later
            yield  # generate calls the tower itself there, and keeps what it saw
            return
        inner = bare(model).base_model
        inner.get_image_features = partial(self._features, inner)
        try:
            yield
        finally:
            del inner.get_image_features

    @torch.no_grad()
    def _features(self, inner: Any, pixels: Tensor, shape: Tensor | None, **how: Any) -> Any:
        """What the model's own method returns. shape: grids (Qwen), or a mask of the pixels."""
        flat = inner.config.model_type in M_ROPE
        sizes = shape.prod(-1).tolist() if flat and shape is not None else 1
        parts = torch.split(pixels, sizes)
        shapes = [None] * len(parts) if shape is None else torch.split(shape, 1)
        seen = [
            self.memory.get(_key(part, mark), partial(_see, inner, part, mark, how))
            for part, mark in zip(parts, shapes, strict=True)
        ]
        features = [one for each in seen for one in each.features]
        return SimpleNamespace(
            pooler_output=features if flat else torch.cat(features),
            deepstack_features=[
                torch.cat(levels) for levels in zip(*(each.deeper for each in seen), strict=True)
            ],
        )


def _see(inner: Any, pixels: Tensor, shape: Tensor | None, how: dict[str, Any]) -> Seen:
    found = type(inner).get_image_features(inner, pixels, shape, **how)
    features = found.pooler_output  # a tensor, or one for each picture
    deeper = found.deepstack_features if inner.config.model_type == "qwen3_vl" else ()
    return Seen([features] if isinstance(features, Tensor) else features, deeper)


def _key(pixels: Tensor, shape: Tensor | None) -> tuple[object, ...]:
    """Of the values, and of what they are computed in."""
    device = pixels.device.type
    autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return (autocast, *(_digest(one) for one in (pixels, shape) if one is not None))


def _digest(values: Tensor) -> str:
    raw = values.contiguous().view(torch.uint8).cpu().numpy().tobytes()
    return f"{tuple(values.shape)} {hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def _size(seen: Seen) -> int:
    return sum(int(one.nbytes) for one in (*seen.features, *seen.deeper))
