"""rftkit's image processor for LFM2-VL beside transformers' own, which needs torchvision.

Run where torchvision is installed: `make test-vllm` has an environment with it.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torchvision")

from transformers.models.lfm2_vl.image_processing_lfm2_vl import Lfm2VlImageProcessor

from rftkit.models.processing.lfm2_images import Lfm2VlImageProcessorPil

pytestmark = pytest.mark.slow
SIZES = [(100, 60), (1, 1), (640, 480), (512, 512), (1600, 800), (333, 2000), (3000, 2500)]
SETTINGS = [{}, {"do_image_splitting": False}, {"max_tiles": 4}, {"use_thumbnail": False}]
EXACT = ("pixel_attention_mask", "spatial_shapes", "image_rows", "image_cols", "image_sizes")


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_cuts_images_as_the_one_with_torchvision_does(
    size: tuple[int, int], settings: dict[str, object]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    theirs, ours = (
        kind(**settings)([[image]], return_row_col_info=True, return_tensors="np")
        for kind in (Lfm2VlImageProcessor, Lfm2VlImageProcessorPil)
    )
    for name in EXACT:
        np.testing.assert_array_equal(np.array(ours[name]), np.array(theirs[name]), name)
    assert ours["pixel_values"].shape == theirs["pixel_values"].shape
    # bytes are rounded after the resize: two of 255 levels, where one level is 2 / 255
    difference = np.abs(ours["pixel_values"] - theirs["pixel_values"])
    assert difference.max() <= 4 * 2 / 255
    assert difference.mean() <= 1 / 255
