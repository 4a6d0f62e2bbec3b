"""Boxes meet pictures: in which grid a model writes them, and how large a picture is to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rftkit.core import Example
from rftkit.data.images import upright_size
from rftkit.errors import DataError
from rftkit.models import families
from rftkit.sections import Model

SAME_SHAPE = 0.02  # ratio of sides: a copy of another size keeps it, but for rounding

Size = tuple[int, int]


def boxed_placer(model: Model) -> Callable[[Example], Example]:
    """A function that gives an example with boxes the grid of `model`, and its picture's size.

    The header of each picture is read once. Raises DataError if a picture is not of the shape that
    its annotation says, as when it lies on its side.
    """
    family, sizes = families.family_of(model), dict[str, Size]()

    def place(example: Example) -> Example:
        if "grid" not in example.meta:
            return example
        name = example.picture.name
        if name not in sizes:
            sizes[name] = _checked(example, upright_size(example.picture))
        width, height = sizes[name]
        size = example.meta.get("size", f"{width}x{height}")
        grid = families.grid_of(family, model.max_pixels, (width, height))
        return replace(example, meta={**example.meta, "grid": str(grid), "size": size})

    return place


def annotated_size(example: Example) -> Size:
    """Width and height in pixels that the example's boxes are fractions of."""
    width, _, height = example.meta["size"].partition("x")
    return int(width), int(height)


def _checked(example: Example, size: Size) -> Size:
    if "size" in example.meta:
        width, height = annotated_size(example)
        if abs((width / height) / (size[0] / size[1]) - 1) > SAME_SHAPE:
            raise DataError(
                f"{example.place}: annotated as {width} × {height} pixels, but "
                f"{example.picture.name} is {size[0]} × {size[1]}; is it turned or cropped?"
            )
    return size
