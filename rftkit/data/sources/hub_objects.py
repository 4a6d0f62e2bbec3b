"""Boxes of a hub data set: the column `objects`, as exports of COCO-like sets have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rftkit.answers.boxes import Grid, LabelledBox, gold_box
from rftkit.core import Row
from rftkit.data.images import upright_size
from rftkit.data.sources.fields import text_of
from rftkit.errors import DataError
from rftkit.tasks.reading import cell_text


def with_objects(row: Row, features: Mapping[str, Any]) -> Row:
    """The row with `objects`, `categories` and `size` as sources of annotations give them.

    `objects` holds lists `bbox`, [x, y, width, height] in pixels, and `category` (or `label`), or
    is a list of such pairs. Without columns `width` and `height` the image is opened for its
    size. Raises DataError, with the row, for a box that is none or leaves the image.
    """
    objects, names = row.values["objects"], _names(features["objects"])
    if isinstance(objects, dict):
        boxes, labels = (
            objects.get("bbox") or (),
            objects.get("category", objects.get("label")) or (),
        )
        if len(boxes) != len(labels):
            raise DataError(
                f"{row.location}: 'objects' has {len(boxes)} in 'bbox' and {len(labels)} in "
                "'category' (or 'label'); every box needs one"
            )
        pairs = [*zip(boxes, labels, strict=True)]
    elif isinstance(objects, list):
        pairs = [
            (thing.get("bbox"), thing.get("category", thing.get("label"))) for thing in objects
        ]
    else:
        raise DataError(f"{row.location}: 'objects' holds no boxes; it needs 'bbox' and 'category'")
    grid = _grid(row)
    things = tuple(_thing(box, label, names, grid, row.location) for box, label in pairs)
    categories = names or tuple(sorted({thing.label for thing in things}))
    more = {"objects": things, "categories": categories, "size": str(grid)}
    return replace(row, values={**row.values, **more})


def _thing(
    box: object, label: object, names: tuple[str, ...], grid: Grid, location: str
) -> LabelledBox:
    match box:
        case [
            float() | int() as x,
            float() | int() as y,
            float() | int() as w,
            float() | int() as h,
        ]:
            edges = [x, y, min(x + w, grid.width), min(y + h, grid.height)]
        case _:
            raise DataError(
                f"{location}: box {repr(box)[:60]} is not [x, y, width, height]; fix it"
            )
    if isinstance(label, int) and names and not 0 <= label < len(names):
        raise DataError(f"{location}: category {label} is none of the {len(names)} names; fix it")
    if isinstance(label, int) and names:
        return LabelledBox(names[label], gold_box(edges, grid, location))
    text = text_of(cell_text(label, "category", location), "category", location)
    return LabelledBox(text, gold_box(edges, grid, location))


def _grid(row: Row) -> Grid:
    width, height = row.values.get("width"), row.values.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return Grid(width, height)
    return Grid(*upright_size(row.image))


def _names(kind: Any) -> tuple[str, ...]:
    """The category names that the data set declares; () where they are texts already."""
    from datasets import ClassLabel

    inner = kind.get("category", kind.get("label")) if isinstance(kind, dict) else None
    if inner is None:
        inside = getattr(kind, "feature", None)
        inner = inside.get("category", inside.get("label")) if isinstance(inside, dict) else None
    inner = getattr(inner, "feature", inner)
    return tuple(inner.names) if isinstance(inner, ClassLabel) else ()
