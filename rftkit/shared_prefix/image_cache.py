"""Cache of processed images: an image processor works on each image once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from transformers import BatchFeature

from rftkit.patches.transformers import preprocessed_by
from rftkit.shared_prefix.groups import digest
from rftkit.shared_prefix.lru import LruCache

LIMIT = 2**29  # bytes of processed images, in the computer's memory


class ImageCache:
    """What an image processor returned for the images of a prompt, over all epochs."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.cache: LruCache[BatchFeature] = LruCache(limit, _size)

    def used_by(self, image_processor: Any) -> AbstractContextManager[None]:
        """Within it the processor looks images up here first; what it returns stays the same."""
        return preprocessed_by(image_processor, self._preprocess)

    def _preprocess(self, processor: Any, images: Any, **options: Any) -> BatchFeature:
        own = partial(type(processor).preprocess, processor, **options)
        if not _is_nested(images):
            return own(images)
        settings, digests = repr(sorted(options.items())), dict[int, str]()
        processed = []
        for row in images:
            key = (settings, *(digest(image, digests) for image in row))
            processed.append(self.cache.get(key, partial(own, [row])))
        return BatchFeature(
            {name: _concatenated([row[name] for row in processed]) for name in processed[0]}
        )


def _is_nested(images: Any) -> bool:
    """True for a list with a list of images for each prompt."""
    return isinstance(images, list) and all(
        isinstance(row, list) and row and all(isinstance(image, Image) for image in row)
        for row in images
    )


def _concatenated(values: Sequence[Any]) -> Any:
    """Rows one after another, padded with zeros to the largest, as image processors do."""
    if isinstance(values[0], list):
        return [item for value in values for item in value]
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


def _size(processed: BatchFeature) -> int:
    return sum(int(value.nbytes) for value in processed.values() if not isinstance(value, list))
