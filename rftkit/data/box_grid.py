"""Attach the image size and the model's box coordinate grid to an example."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from rftkit.core import Example
from rftkit.data.images import upright_size
from rftkit.errors import DataError, GatheredError
from rftkit.model_info import families
from rftkit.recipe.sections import Model

SAME_SHAPE = 0.02  # ratio of sides: a copy of another size keeps it, but for rounding

Size = tuple[int, int]


def grid_setter(model: Model) -> Callable[[Example], Example]:
    """A function that sets `meta["grid"]` and `meta["size"]` of an example with boxes.

    "grid" is the width and height that the coordinates of `model` count, "1000x1000" or the pixels
    of the resized image; "size" is the image's own in pixels. The header of each image is
    read once; an example without boxes comes back as it is. The function raises DataError if the
    sides of an image are in another ratio than its annotation says, as when it is turned.
    """
    family, sizes = families.family_of(model), dict[str, Size]()

    def with_grid(example: Example) -> Example:
        if "grid" not in example.meta:
            return example
        name = example.image.name
        if name not in sizes:
            sizes[name] = _checked(example, upright_size(example.image))
        width, height = sizes[name]
        size = example.meta.get("size", f"{width}x{height}")
        grid = families.grid_of(family, model.max_pixels, (width, height))
        return replace(example, meta={**example.meta, "grid": str(grid), "size": size})

    return with_grid


def with_grids(model: Model, examples: Iterable[Example]) -> tuple[Example, ...]:
    """The examples with their grids. Raises GatheredError, with a line for each bad image."""
    with_grid, found, faults = grid_setter(model), list[Example](), dict[str, None]()
    for example in examples:
        try:
            found.append(with_grid(example))
        except DataError as error:
            faults[str(error)] = None
    if faults:
        raise GatheredError([*faults])
    return tuple(found)


def annotated_size(example: Example) -> Size:
    """Width and height in pixels that the example's boxes are fractions of."""
    width, _, height = example.meta["size"].partition("x")
    return int(width), int(height)


def _checked(example: Example, size: Size) -> Size:
    if "size" in example.meta:
        width, height = annotated_size(example)
        if abs((width / height) / (size[0] / size[1]) - 1) > SAME_SHAPE:
            raise DataError(
                f"{example.location}: annotated as {width} × {height} pixels, but "
                f"{example.image.name} is {size[0]} × {size[1]}; is it turned or cropped?"
            )
    return size
