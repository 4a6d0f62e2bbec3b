"""Pictures prepared once: a memory in front of an image processor."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from transformers import BatchFeature

LIMIT = 2**29  # bytes of prepared pictures that are kept


class PictureMemory:
    """What an image processor made of the pictures it has seen, the least used forgotten first."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.bytes = limit, 0
        self.made: OrderedDict[tuple[str, ...], BatchFeature] = OrderedDict()

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
        digests: dict[int, str] = {}
        settings = repr(sorted(how.items()))
        parts = []
        for row in images:
            key = (settings, *(_digest(image, digests) for image in row))
            if key not in self.made:
                self._keep(key, own([row]))
            self.made.move_to_end(key)
            parts.append(self.made[key])
        self._forget()
        if not _stackable(parts):
            return own(images)  # the processor pads rows to one another
        return BatchFeature({name: _joined([part[name] for part in parts]) for name in parts[0]})

    def _keep(self, key: tuple[str, ...], made: BatchFeature) -> None:
        self.made[key] = made
        self.bytes += _size(made)

    def _forget(self) -> None:
        while self.bytes > self.limit:
            self.bytes -= _size(self.made.popitem(last=False)[1])


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


def _stackable(parts: Sequence[BatchFeature]) -> bool:
    """Whether rows made one by one are the rows of the whole: nothing was padded."""
    return all(
        len({tuple(part[name].shape[1:]) for part in parts}) == 1
        for name in parts[0]
        if not isinstance(parts[0][name], list)
    )


def _joined(values: Sequence[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return torch.cat(list(values))
    if isinstance(values[0], np.ndarray):
        return np.concatenate(list(values))
    return [one for value in values for one in value]


def _size(made: BatchFeature) -> int:
    return sum(int(value.nbytes) for value in made.values() if not isinstance(value, list))
