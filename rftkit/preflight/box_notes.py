"""What gold boxes lose before a model sees one: to rounding in text, and to small images."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rftkit.answers import boxes
from rftkit.answers.boxes import Grid
from rftkit.core import Example
from rftkit.data.images import upright_size
from rftkit.model_info import families
from rftkit.model_info.families import Size
from rftkit.recipe.sections import Model

LEAST_SIDE = 8  # pixels of what the model sees: less is a smudge
LOW = 0.8  # an overlap with itself under which rounding costs a box a fifth of its credit


def box_notes(model: Model, examples: Sequence[Example]) -> tuple[str, ...]:
    """What `rftkit check` says of the boxes of these examples; nothing if they have none.

    Gold against gold after the trip through text, and boxes that the image budget makes too small
    to see. Reads the header of each image.
    """
    boxed = [example for example in examples if "grid" in example.meta]
    if not boxed:
        return ()
    family = families.family_of(model)
    units = Grid.of(boxed[0].meta)
    counts = "pixels of the resized image" if family.convention == "pixels" else f"{units} units"
    trips = [
        (families.trip_iou(box, Grid.of(example.meta)), example.id)
        for example in boxed
        for box in boxes.load_boxes(example.gold)
    ]
    low = [name for value, name in trips if value < LOW]
    small, shrunk = _too_small(boxed, family, model.max_pixels)
    unknown = (
        f"model.name: {model.name!r} is of no known family; its boxes are taken to be in 0-1000"
    )
    return (
        f"boxes are written in {counts} ({family.name})",
        *([] if family.known else [unknown]),
        *(
            [f"gold against gold through text: mean IoU {fmean(v for v, _ in trips):.3f}, "
             f"least {min(trips)[0]:.3f}"] if trips else []
        ),
        *([f"{len(low)} boxes lose over {1 - LOW:.0%} to rounding: {_some(low)}"] if low else []),
        *(
            [f"boxes of {len(shrunk)} examples are under {LEAST_SIDE} pixels wide or high as the "
             f"model sees them; raise model.max_pixels: {_some(shrunk)}"] if shrunk else []
        ),
        *(
            [f"boxes of {len(small)} examples are under {LEAST_SIDE} pixels wide or high in the "
             f"image itself: {_some(small)}"] if small else []
        ),
    )  # fmt: skip


def _too_small(
    examples: Sequence[Example], family: families.Family, max_pixels: int
) -> tuple[list[str], list[str]]:
    """Examples with a box too small to see: in the image as it is, and by the budget alone."""
    seen: dict[str, tuple[Size, Size]] = {}
    own, shrunk = [], []
    for example in examples:
        name = example.image.name
        if name not in seen:
            size = Size(*upright_size(example.image))
            seen[name] = (size, families.resized(size, family, max_pixels))
        whole, left = seen[name]
        gold = boxes.load_boxes(example.gold)
        small = [box for box in gold if families.too_small(box, left, LEAST_SIDE)]
        if any(not families.too_small(box, whole, LEAST_SIDE) for box in small):
            shrunk.append(example.id)
        elif small:
            own.append(example.id)
    return own, shrunk


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
