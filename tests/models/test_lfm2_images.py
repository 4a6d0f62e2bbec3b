"""How LFM2-VL images are cut; tests/slow/test_lfm2_torchvision.py compares with the real one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rftkit.models.processing.lfm2_images import Lfm2VlImageProcessorPil, grid, one_tile

OPTIONS = {
    "encoder_patch_size": 16, "downsample_factor": 2, "min_image_tokens": 64,
    "max_image_tokens": 256, "min_tiles": 2, "max_tiles": 10, "tile_size": 512,
}  # fmt: skip


@pytest.mark.parametrize(("size", "tiles", "whole"), [
    ((1600, 800), (4, 2), (704, 352)),
    ((800, 1600), (2, 4), (352, 704)),
    ((1000, 1000), (2, 2), (512, 512)),
    ((2000, 2000), (3, 3), (512, 512)),
    ((3000, 300), (10, 1), (1600, 160)),
])  # fmt: skip
def test_a_large_image_is_cut_into_the_grid_of_the_nearest_shape(
    size: tuple[int, int], tiles: tuple[int, int], whole: tuple[int, int]
) -> None:
    assert grid(*size, OPTIONS) == tiles
    assert one_tile(*size, OPTIONS) == whole


def test_tiles_come_row_by_row_and_the_whole_image_last() -> None:
    image = Image.new("RGB", (1600, 800))
    image.paste((255, 255, 255), (800, 400, 1600, 800))  # the lower right quarter is white
    made = Lfm2VlImageProcessorPil()([[image]], return_row_col_info=True, return_tensors="np")
    assert made["pixel_values"].shape == (9, 1024, 768)
    assert made["spatial_shapes"].tolist() == [[32, 32]] * 8 + [[22, 44]]
    assert made["pixel_attention_mask"].sum(1).tolist() == [1024] * 8 + [22 * 44]
    bright = made["pixel_values"].mean((1, 2)) > 0
    assert np.flatnonzero(bright).tolist() == [6, 7]
    assert (made["image_rows"][0], made["image_cols"][0]) == (2, 4)
