"""LFM2-VL's image processor in numpy and Pillow: transformers has it with torchvision only.

An image is shown as one tile of its own shape, up to `max_image_tokens` tokens, or, if it is more
than twice as large, as a grid of square tiles and the whole image beside them:

    1600 × 800 pixels, tiles of 512, at most 10      grid of 4 × 2 (the nearest shape)
    resized to 2048 × 1024, cut row by row           8 tiles of 32 × 32 patches
    the whole, resized to 704 × 352                  44 × 22 patches, padded to 1,024 like the tiles
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.processing_utils import ImagesKwargs

Array = np.ndarray[Any, np.dtype[Any]]


class Lfm2Options(ImagesKwargs, total=False):  # type: ignore[call-arg]  # a TypedDict
    """Settings of the processor, as its files name them."""

    downsample_factor: int
    do_image_splitting: bool
    min_tiles: int
    max_tiles: int
    use_thumbnail: bool
    min_image_tokens: int
    max_image_tokens: int
    encoder_patch_size: int
    tile_size: int
    max_pixels_tolerance: float
    do_pad: bool
    return_row_col_info: bool


class Shown(NamedTuple):
    """An image as the encoder sees it: tiles of (channels, height, width), the whole one last.

    columns, rows: of the grid. size: height and width of the whole image after the resize.
    """

    tiles: list[Array]
    columns: int
    rows: int
    size: tuple[int, int]


class Lfm2VlImageProcessorPil(PilBackend):
    """What transformers' `Lfm2VlImageProcessor` gives, but for rounding in the resize."""

    valid_kwargs = Lfm2Options
    model_input_names = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
    downsample_factor = 2
    do_image_splitting = True
    min_tiles = 2
    max_tiles = 10
    use_thumbnail = True
    min_image_tokens = 64
    max_image_tokens = 256
    encoder_patch_size = 16
    tile_size = 512
    max_pixels_tolerance = 2.0
    do_resize = True
    size = {"height": 512, "width": 512}  # noqa: RUF012  as the base class expects it
    resample = PILImageResampling.BILINEAR
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    do_pad = True
    return_row_col_info = False
    image_mean = (0.5, 0.5, 0.5)
    image_std = (0.5, 0.5, 0.5)

    def _preprocess(
        self, images: list[Array], return_tensors: str | None = None, **options: Any
    ) -> BatchFeature:
        """images: each (channels, height, width) of bytes."""
        shown = [self._shown(image, options) for image in images]
        patch = options["encoder_patch_size"]
        tiles = [tile for one in shown for tile in one.tiles]
        shapes = np.array([[tile.shape[1] // patch, tile.shape[2] // patch] for tile in tiles])
        patches = [self._patches(tile, options) for tile in tiles]
        most = _most_patches(options) if options["do_pad"] else len(patches[0])
        mask = np.array([[1] * len(p) + [0] * (most - len(p)) for p in patches], np.int32)
        padded = [np.pad(p, ((0, most - len(p)), (0, 0))) for p in patches]
        data: dict[str, Any] = {"pixel_values": np.stack(padded)}
        if options["do_pad"]:
            data |= {"pixel_attention_mask": mask, "spatial_shapes": shapes}
        if options["return_row_col_info"]:
            data["image_rows"] = [one.rows for one in shown]
            data["image_cols"] = [one.columns for one in shown]
            data["image_sizes"] = [list(one.size) for one in shown]
        return BatchFeature(data=data, tensor_type=return_tensors)

    def _shown(self, image: Array, options: dict[str, Any]) -> Shown:
        height, width = image.shape[1:]
        whole = self._resized(image, one_tile(width, height, options), options)
        size = (int(whole.shape[1]), int(whole.shape[2]))
        if not (options["do_image_splitting"] and _is_large(width, height, options)):
            return Shown([whole], 1, 1, size)
        side = options["tile_size"]
        columns, rows = grid(width, height, options)
        large = self._resized(image, (columns * side, rows * side), options)
        tiles = [
            large[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            for row in range(rows)
            for column in range(columns)
        ]
        beside = [whole] if options["use_thumbnail"] and columns * rows > 1 else []
        return Shown([*tiles, *beside], columns, rows, size)

    def _resized(self, image: Array, size: tuple[int, int], options: dict[str, Any]) -> Array:
        width, height = size
        resized: Array = self.resize(
            image, SizeDict(height=height, width=width), options["resample"]
        )
        return resized

    def _patches(self, tile: Array, options: dict[str, Any]) -> Array:
        """(patches, patch × patch × channels), row by row."""
        if options["do_rescale"]:
            tile = self.rescale(tile, options["rescale_factor"])
        if options["do_normalize"]:
            tile = self.normalize(tile, options["image_mean"], options["image_std"])
        patch = options["encoder_patch_size"]
        channels, height, width = tile.shape
        rows, columns = height // patch, width // patch
        cut = tile.reshape(channels, rows, patch, columns, patch).transpose(1, 3, 2, 4, 0)
        return cut.reshape(rows * columns, -1).astype(np.float32)


def one_tile(width: int, height: int, options: dict[str, Any]) -> tuple[int, int]:
    """Width and height of an image that is shown whole: multiples of a token's side."""
    unit = options["encoder_patch_size"] * options["downsample_factor"]
    least, most = (options[f"{end}_image_tokens"] * unit**2 for end in ("min", "max"))
    near = [max(unit, round(side / unit) * unit) for side in (width, height)]
    if near[0] * near[1] > most:
        shrink = math.sqrt(width * height / most)
        near = [max(unit, math.floor(side / shrink / unit) * unit) for side in (width, height)]
    elif near[0] * near[1] < least:
        stretch = math.sqrt(least / (width * height))
        near = [math.ceil(side * stretch / unit) * unit for side in (width, height)]
    return near[0], near[1]


def grid(width: int, height: int, options: dict[str, Any]) -> tuple[int, int]:
    """Columns and rows of tiles whose shape is nearest to the image's.

    Of equally near ones the last, from few tiles to many, that the image fills by half.
    """
    least, most, side = options["min_tiles"], options["max_tiles"], options["tile_size"]
    sides = range(1, most + 1)
    allowed = [(w, h) for w in sides for h in sides if least <= w * h <= most]
    best, off = (1, 1), math.inf
    for columns, rows in sorted(allowed, key=lambda pair: pair[0] * pair[1]):
        distance = abs(width / height - columns / rows)
        fills = width * height > 0.5 * side**2 * columns * rows
        if distance < off or (distance == off and fills):
            best, off = (columns, rows), distance
    return best


def _is_large(width: int, height: int, options: dict[str, Any]) -> bool:
    patch = options["encoder_patch_size"]
    unit = patch * options["downsample_factor"]
    near = [max(patch, round(side / unit) * unit) for side in (width, height)]
    most = options["max_image_tokens"] * unit**2 * options["max_pixels_tolerance"]
    return bool(near[0] * near[1] > most)


def _most_patches(options: dict[str, Any]) -> int:
    whole = options["max_image_tokens"] * options["downsample_factor"] ** 2
    tile = (options["tile_size"] // options["encoder_patch_size"]) ** 2
    return int(max(whole, tile if options["do_image_splitting"] else 0))
