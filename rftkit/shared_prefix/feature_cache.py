"""Cache of image features for a frozen vision encoder, in the computer's memory.

A few hundred images of features are some hundred megabytes: on a small GPU that is memory the
training needs, while copying the features of one image there takes a fraction of a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.model_info.families import M_ROPE, UNCACHED
from rftkit.patches.transformers import GENERATE_ENCODES_IMAGES, image_features_by
from rftkit.shared_prefix.groups import PromptKey
from rftkit.shared_prefix.lru import LruCache
from rftkit.shared_prefix.supported import bare

LIMIT = 2**29  # bytes of features, in the computer's memory; on the GPU nothing is kept


class Features(NamedTuple):
    """Features of one image, or of all images of one prompt.

    output: each (tokens, D). deepstack: those that Qwen3-VL adds in later layers.
    """

    output: Sequence[Tensor]
    deepstack: Sequence[Tensor] = ()

    def to(self, device: torch.device | str) -> Features:
        """The same on that device."""
        return Features(*([tensor.to(device) for tensor in part] for part in self))


class FeatureCache:
    """The image features of one model and processor, where the vision encoder is frozen."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.cache: LruCache[Features] = LruCache(limit, _size)

    @contextmanager
    def used_by(self, model: Any, prompts_P: Sequence[PromptKey]) -> Iterator[None]:
        """Within it the model encodes only those images of these prompts that are not cached.

        prompts_P: those whose image inputs the next forward is given, in the same order. Of some
        families nothing is cached.
        """
        if GENERATE_ENCODES_IMAGES or bare(model).config.model_type in UNCACHED:
            yield
            return
        with image_features_by(bare(model), partial(self._features, prompts_P)):
            yield

    @torch.inference_mode(False)  # a cached tensor may be needed for a backward pass later
    @torch.no_grad()
    def _features(
        self,
        prompts_P: Sequence[PromptKey],
        inner: Any,
        pixels: Tensor,
        shapes: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """What the model's own get_image_features returns.

        pixels: (patches, ...) of all images for Qwen, with shapes (images, 3), the patches of each
        in time, height and width; else (prompts, tiles, ...), with shapes a mask of the pixels.
        """
        flat = inner.config.model_type in M_ROPE
        sizes = shapes.prod(-1).tolist() if flat and shapes is not None else 1
        entries = torch.split(pixels, sizes)  # of an image, or of all images of a prompt
        shapes_of = [None] * len(entries) if shapes is None else torch.split(shapes, 1)
        keys = [image for prompt in prompts_P for image in prompt.images] if flat else prompts_P
        encoded = [
            self._lookup(key, entry, partial(_encode, inner, entry, shape, options))
            for key, entry, shape in zip(keys, entries, shapes_of, strict=True)
        ]
        output = [tensor for features in encoded for tensor in features.output]
        return SimpleNamespace(
            pooler_output=output if flat else torch.cat(output),
            deepstack_features=[
                torch.cat(level)
                for level in zip(*(features.deepstack for features in encoded), strict=True)
            ],
        )

    def _lookup(self, key: Hashable, pixels: Tensor, encode: Callable[[], Features]) -> Features:
        """key: of the image, or of all images of a prompt. The features depend on autocast too."""
        device = pixels.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        full = (key, tuple(pixels.shape), dtype)
        return self.cache.get(full, lambda: encode().to("cpu")).to(pixels.device)


def _encode(inner: Any, pixels: Tensor, shape: Tensor | None, options: dict[str, Any]) -> Features:
    encoded = type(inner).get_image_features(inner, pixels, shape, **options)
    output = encoded.pooler_output  # a tensor, or one for each image
    deepstack = encoded.deepstack_features if inner.config.model_type == "qwen3_vl" else ()
    return Features([output] if isinstance(output, Tensor) else output, deepstack)


def _size(features: Features) -> int:
    return sum(int(tensor.nbytes) for part in features for tensor in part)
