"""Read and write boxes as text: lists of objects or numbers, and the corners of one box."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from rftkit.answers.boxes import MAX_BOXES, THOUSANDTHS, Box, Grid, PredictedBox, box_of
from rftkit.answers.literals import literal, number, unfenced

MAX_CHARS = 65_536  # a longer text is not read as an answer

POSITION_KEYS = ("position", "bbox_2d", "box_2d", "bbox", "box")
CONFIDENCE_KEYS = ("confidence", "score")
LABEL_KEYS = ("label", "category", "class", "name")

_NUMBER = r"\s*(-?\d++(?:\.\d++)?+)\s*"
CORNERS = re.compile(rf"\({_NUMBER},{_NUMBER}\)\s*,\s*\({_NUMBER},{_NUMBER}\)")


def read_boxes(text: str, grid: Grid = THOUSANDTHS) -> list[PredictedBox] | None:
    """The boxes in a model's answer; None if it is not a list of boxes. Never raises.

    JSON or a Python literal, in a code fence or not: a list of objects or of four numbers each,
    one object, or four numbers. "No Objects" is the empty list. An entry that is not four finite
    numbers with x1 < x2 and y1 < y2 is kept without a box.
    """
    if len(text) > MAX_CHARS:
        return None
    text = unfenced(text)
    if len(text) < 40 and re.sub(r"[\W_]+", " ", text).strip().casefold() == "no objects":
        return []
    entries = _entries(literal(text))
    if entries is None or len(entries) > MAX_BOXES:
        return None
    return [_predicted_box(entry, grid) for entry in entries]


def read_box(text: str, grid: Grid = THOUSANDTHS) -> Box | None:
    """The one box in a model's answer; None if there is none, several, or an invalid one.

    Accepts what `read_boxes` accepts, and the corners "(x1,y1),(x2,y2)" if the rest of the text
    holds no tag and no other digit. Never raises.
    """
    if len(text) > MAX_CHARS:
        return None
    text = unfenced(text)
    value = literal(text)
    if isinstance(value, list) and len(value) == 2 and all(_is_pair(half) for half in value):
        return box_of([*value[0], *value[1]], grid)
    entries = _entries(value)
    if entries is not None:
        return _predicted_box(entries[0], grid).box if len(entries) == 1 else None
    corners = CORNERS.search(text)
    if corners is None:
        return None
    rest = text[: corners.start()] + text[corners.end() :]
    if re.search(r"[\d<>]", rest):
        return None
    return box_of([float(edge) for edge in corners.groups()], grid)


def write_boxes(boxes: Sequence[Box], grid: Grid = THOUSANDTHS, names: Sequence[str] = ()) -> str:
    """The JSON text of these boxes, in whole units of the grid. names: a label for each box."""
    entries: list[dict[str, object]] = [
        {"Position": _whole(box, grid), "Confidence": 1} for box in boxes
    ]
    if names:
        pairs = zip(names, entries, strict=True)
        entries = [{"Label": name, **entry} for name, entry in pairs]
    return json.dumps(entries, ensure_ascii=False)


def write_box(box: Box, grid: Grid = THOUSANDTHS) -> str:
    """The text "(x1,y1),(x2,y2)" of one box, in whole units of the grid.

    >>> write_box(Box(0.1, 0.2, 0.3, 0.4))
    '(100,200),(300,400)'
    """
    x1, y1, x2, y2 = _whole(box, grid)
    return f"({x1},{y1}),({x2},{y2})"


def _entries(value: object) -> list[object] | None:
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        return None
    flat = bool(value) and all(number(item) is not None for item in value)
    return [value] if flat else value


def _predicted_box(entry: object, grid: Grid) -> PredictedBox:
    if not isinstance(entry, dict):
        return PredictedBox(box_of(entry, grid))
    folded = {str(key).strip().casefold(): value for key, value in entry.items()}
    position = next((folded[key] for key in POSITION_KEYS if key in folded), None)
    stated = next((folded[key] for key in CONFIDENCE_KEYS if key in folded), None)
    confidence = number(stated)
    if confidence is None or math.isnan(confidence):
        confidence = 1.0
    label = next((folded[key] for key in LABEL_KEYS if key in folded), "")
    return PredictedBox(box_of(position, grid), min(1.0, max(0.0, confidence)), str(label).strip())


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _whole(box: Box, grid: Grid) -> list[int]:
    x1, x2 = _span(box.x1, box.x2, grid.width)
    y1, y2 = _span(box.y1, box.y2, grid.height)
    return [*grid.written(x1, y1, x2, y2)]


def _span(low: float, high: float, units: int) -> tuple[int, int]:
    start, end = round(low * units), round(high * units)
    if start < end:
        return start, end
    start = min(start, units - 1)  # a narrow box keeps one unit: no model is taught an empty box
    return start, start + 1
