"""Images by which GGUF files are proved have a size that no processor changes."""

from __future__ import annotations

import pytest
from fakes import recipe

from rftkit.export.held_out import fitted_size
from rftkit.model_info.families import family_of, resized


@pytest.mark.parametrize(
    ("model", "max_pixels", "size", "expected"),
    [
        ("tiny", 401_408, (64, 64), (56, 56)),
        ("tiny", 401_408, (96, 80), (56, 56)),  # shown at 56 x 28, which would be enlarged
        ("tiny", 401_408, (800, 100), (112, 28)),
        ("Qwen/Qwen3-VL-4B-Instruct", 401_408, (640, 480), (640, 480)),
        ("Qwen/Qwen3-VL-4B-Instruct", 401_408, (3000, 2000), (768, 512)),
        ("Qwen/Qwen3-VL-4B-Instruct", 65_536, (640, 480), (256, 256)),  # least is most there
    ],
)
def test_a_processor_leaves_a_fitted_image_as_it_is(
    model: str, max_pixels: int, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    family = family_of(recipe(model={"name": model}).model)
    fitted = fitted_size(size, family, max_pixels)
    assert fitted == expected
    assert resized(fitted, family, max_pixels) == fitted
