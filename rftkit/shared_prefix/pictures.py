"""Pictures prepared once: a memory in front of an image processor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from transformers import BatchFeature

from rftkit.shared_prefix.lru import Memory

LIMIT = 2**29  # bytes of prepared pictures that are kept


class PictureMemory:
    """What an image processor made of the pictures it has seen, over all epochs."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.memory: Memory[BatchFeature] = Memory(limit, _size)

    @contextmanager
    def used_by(self, image_processor: Any) -> Iterator[None]:
        """Within it the processor asks this memory first; what it returns stays the same."""
        image_processor.preprocess = partial(self._preprocess, image_processor)
        try:
            yield
        finally:
            del image_processor.preprocess  # an attribute would be saved with the processor

    def _preprocess(self, processor: Any, images: Any, **how: Any) -> BatchFeature:
        own = partial(type(processor).preprocess, processor, **how)
        if not _is_rows(images):
            return own(images)
        settings, digests = repr(sorted(how.items())), dict[int, str]()
        parts = []
        for row in images:
            key = (settings, *(_digest(image, digests) for image in row))
            parts.append(self.memory.get(key, partial(own, [row])))
        return BatchFeature({name: _joined([part[name] for part in parts]) for name in parts[0]})


def _is_rows(images: Any) -> bool:
    return isinstance(images, list) and all(
        isinstance(row, list) and row and all(isinstance(image, Image) for image in row)
        for row in images
    )


def _digest(image: Image, known: dict[int, str]) -> str:
    """Of the pixels: copies of a picture are the same picture."""
    if id(image) not in known:
        pixels = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
        known[id(image)] = f"{image.mode} {image.size} {pixels}"
    return known[id(image)]


def _joined(values: Sequence[Any]) -> Any:
    """Rows one after another, padded with zeros to the largest, as image processors do."""
    if isinstance(values[0], list):
        return [one for value in values for one in value]
    shape = np.max([value.shape[1:] for value in values], axis=0)
    padded = [_padded(value, shape) for value in values]
    return torch.cat(padded) if isinstance(values[0], torch.Tensor) else np.concatenate(padded)


def _padded(value: Any, shape: Sequence[int]) -> Any:
    """value: (rows, ...). Each dimension but the first filled up with zeros at its end."""
    missing = [most - size for most, size in zip(shape, value.shape[1:], strict=True)]
    if not any(missing):
        return value
    if isinstance(value, torch.Tensor):
        ends = [end for gap in reversed(missing) for end in (0, int(gap))]
        return torch.nn.functional.pad(value, ends)
    return np.pad(value, [(0, 0), *((0, gap) for gap in missing)])


def _size(made: BatchFeature) -> int:
    return sum(int(value.nbytes) for value in made.values() if not isinstance(value, list))
