"""What detection and grounding share: the annotated objects of a row, and where its image is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from rftkit.answers import box_text, boxes
from rftkit.answers.boxes import Grid, LabelledBox, PredictedBox
from rftkit.answers.literals import literal
from rftkit.core import Attempt, Example, Row
from rftkit.errors import DataError
from rftkit.tasks import categories
from rftkit.tasks.options import Names
from rftkit.tasks.reading import Reading

Things = tuple[LabelledBox, ...]


def read_objects(row: Row, reading: Reading, one: bool = False) -> Things:
    """The objects of a row: those of an annotation file, or those that a table's columns give.

    A table has `boxes`, lists of four numbers in units of `grid` ("640x480"; thousandths without
    one), all of the one `label`; in a CSV they are a text, as JSON. one: exactly one box, which
    need not be in a list.
    """
    entries = reading.value(row, "objects")
    if entries is not None:
        assert isinstance(entries, tuple)
        if one and len(entries) != 1:
            raise DataError(f"{row.location}: {len(entries)} boxes; a phrase needs exactly one")
        return entries
    value = reading.value(row, "boxes")
    if isinstance(value, str) and value.lstrip()[:1] == "[":  # a cell of a CSV
        parsed = literal(value)
        value = value if parsed is None else parsed
    flat = isinstance(value, list | tuple) and not (value and isinstance(value[0], list | tuple))
    if one and flat:
        value = [value]
    if not isinstance(value, list | tuple) or (one and len(value) != 1):
        what, written = ("a list of boxes", "[[x1, y1, x2, y2], ...]")
        if one:
            what, written = "one box", "[x1, y1, x2, y2]"
        shown = repr(value)[:60]
        raise DataError(f"{row.location}: gold {shown} is not {what}; write {written}")
    if len(value) > boxes.MAX_BOXES:
        raise DataError(
            f"{row.location}: {len(value)} gold boxes; at most {boxes.MAX_BOXES} are read"
        )
    grid = _grid(row, reading)
    label = _label(row, reading)
    return tuple(LabelledBox(label, boxes.gold_box(box, grid, row.location)) for box in value)


def placed(row: Row, reading: Reading) -> dict[str, str]:
    """What an example must know of its boxes: the grid of its texts, the size of its image."""
    size = row.values.get("size")
    meta = {"grid": str(_grid(row, reading))}
    return {**meta, "size": str(size)} if size else meta


def category_row(example: Example) -> dict[str, object] | None:
    """A category and its boxes; None for one with crowds, or LVIS's notes, or all at once."""
    if "label" not in example.meta or {"crowd", "frequency", "not_exhaustive"} & {*example.meta}:
        return None
    placed_boxes, grid = corners_in_grid(example), example.meta["grid"]
    return {"label": example.meta["label"], "boxes": placed_boxes, "grid": grid}


def corners_in_grid(example: Example) -> list[list[float]]:
    """The gold boxes of an example as a table has them: in units of its grid, not rounded."""
    grid = Grid.of(example.meta)
    return [
        [x1 * grid.width, y1 * grid.height, x2 * grid.width, y2 * grid.height]
        for x1, y1, x2, y2 in boxes.load_boxes(example.gold)
    ]


def _grid(row: Row, reading: Reading) -> Grid:
    """The units of the row's boxes. Raises DataError for what is no "640x480"."""
    grid = reading.value(row, "grid")
    if grid is not None and not re.fullmatch(
        rf"[1-9]\d{{0,6}}x[1-9]\d{{0,6}}(?: {boxes.Y_FIRST})?", str(grid)
    ):
        raise DataError(
            f'{row.location}: grid {repr(grid)[:60]}; write width and height: "640x480"'
        )
    return Grid.named(grid)


def categories_of(row: Row, reading: Reading, objects: Sequence[LabelledBox]) -> tuple[str, ...]:
    """The categories that a row's annotation vouches for, there or not."""
    vouched = row.values.get("categories")
    if isinstance(vouched, tuple):
        return vouched
    boxed = tuple(dict.fromkeys([thing.label for thing in objects]))
    return boxed or (_label(row, reading),)


def _label(row: Row, reading: Reading) -> str:
    """The one label of a table's boxes, "object" where the table has none."""
    return "object" if reading.value(row, "label") is None else reading.text(row, "label")


def chosen_categories(names: Names) -> tuple[str, ...]:
    """The categories that a recipe names, one by one or by the name of a list; () for all.

    Raises DataError for a name that is not the name of a list.
    """
    if not isinstance(names, str):
        return names
    if not names:
        return ()
    chosen = categories.named(names)
    if chosen is None:
        raise DataError(
            f"options.categories: no list {names!r}; known: {', '.join(categories.LISTS)}; or give "
            'the names themselves: ["cat", "dog"]'
        )
    return chosen


def facts(row: Row, category: str) -> dict[str, str]:
    """What LVIS says of a category on this image: its frequency, and whether all are boxed."""
    frequency, partly = row.values.get("frequency"), row.values.get("not_exhaustive", ())
    facts_known = {}
    if isinstance(frequency, dict) and category in frequency:
        facts_known["frequency"] = str(frequency[category])
    if isinstance(partly, tuple) and category in partly:
        facts_known["not_exhaustive"] = "yes"
    return facts_known


def facts_of_all(row: Row, asked: Sequence[str]) -> dict[str, str]:
    """The same of categories asked for at once, as JSON: frequency by label, labels in part."""
    each = {name: facts(row, name) for name in asked}
    frequency = {
        name: facts_of_one["frequency"]
        for name, facts_of_one in each.items()
        if "frequency" in facts_of_one
    }
    partly = [name for name, facts_of_one in each.items() if "not_exhaustive" in facts_of_one]
    meta = {"frequency": frequency, "not_exhaustive": partly}
    return {key: json.dumps(value) for key, value in meta.items() if value}


def found_boxes(attempt: Attempt) -> list[PredictedBox] | None:
    """The boxes in a reply of detection; None if its answer is no list of boxes."""
    answer = attempt.reply.answer
    return None if answer is None else box_text.read_boxes(answer, Grid.of(attempt.example.meta))
