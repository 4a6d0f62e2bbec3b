"""The recipe's budget of pixels, in the settings of each family's image processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.image_utils import SizeDict

LIMITS = ("min_patches", "max_patches", "max_tiles", "max_soft_tokens")
GEMMA4_TOKENS = (70, 140, 280, 560, 1120)  # of an image, that its processor takes


def limit_pixels(images: Any, kind: str, max_pixels: int) -> None:
    """Lower the image processor's own limit to `max_pixels`, where the family has one to lower.

    kind: the architecture. The Qwen families count pixels of the whole image, LFM2-VL and InternVL
    tiles, LLaVA-OneVision shapes of tiles, Gemma 4 tokens; at least one tile, or the fewest tokens,
    always remain. A family that resizes to a fixed shape keeps it.
    """
    if kind in TILED:
        TILED[kind](images, max_pixels)
        return
    size = images.size or {}
    if "longest_edge" in size and "shortest_edge" in size:
        most = min(max_pixels, size["longest_edge"])
        images.size = SizeDict(shortest_edge=min(size["shortest_edge"], most), longest_edge=most)


def limits_of(images: Any) -> dict[str, Any]:
    """The settings of an image processor that a budget can change, as they are."""
    size, edges = images.size or {}, ("shortest_edge", "longest_edge")
    whole = {"size": {name: size[name] for name in edges}} if all(e in size for e in edges) else {}
    return whole | {name: getattr(images, name) for name in LIMITS if hasattr(images, name)}


def limit_tiles(model: Any, max_pixels: int) -> None:
    """The same for a model that works out the tiles of an image by itself: LLaVA-OneVision."""
    config = model.config
    if config.model_type == "llava_onevision":
        config.image_grid_pinpoints = within(config.image_grid_pinpoints, max_pixels)


def _internvl(images: Any, max_pixels: int) -> None:
    """The processor of the whole passes its own `crop_to_patches`, so one tile is a limit of 1."""
    side = images.size["height"]
    images.max_patches = max(1, min(images.max_patches, max_pixels // side**2))
    images.min_patches = min(images.min_patches, images.max_patches)


def _lfm2(images: Any, max_pixels: int) -> None:
    tiles = max_pixels // images.tile_size**2
    images.max_tiles = max(1, min(images.max_tiles, tiles))
    if images.max_tiles < images.min_tiles:
        images.do_image_splitting = False


def _onevision(images: Any, max_pixels: int) -> None:
    images.image_grid_pinpoints = within(images.image_grid_pinpoints, max_pixels)


def within(shapes: Sequence[Sequence[int]], max_pixels: int) -> list[list[int]]:
    """Those shapes of tiles, height and width in pixels, that a budget holds; at least one."""
    fit = [[*shape] for shape in shapes if shape[0] * shape[1] <= max_pixels]
    return fit or [[*min(shapes, key=lambda shape: shape[0] * shape[1])]]


def _gemma4(images: Any, max_pixels: int) -> None:
    pixels = (images.patch_size * images.pooling_kernel_size) ** 2
    most = min(images.max_soft_tokens, max_pixels // pixels)
    images.max_soft_tokens = max([n for n in GEMMA4_TOKENS if n <= most] or GEMMA4_TOKENS[:1])


TILED = {
    "internvl": _internvl, "lfm2_vl": _lfm2, "llava_onevision": _onevision, "gemma4": _gemma4,
    "gemma4_unified": _gemma4,
}  # fmt: skip
