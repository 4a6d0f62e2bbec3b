"""Checks of what an annotation says: each takes a value and its location, and refuses with both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rftkit.answers import replies
from rftkit.answers.boxes import Box
from rftkit.data.sources.annotated import shown
from rftkit.errors import DataError
from rftkit.messages import did_you_mean

MAX_SIDE = 1_000_000  # pixels
MAX_TEXT = 2_000  # characters of a label or a phrase
MAX_LETTERS = 100_000  # of any text in a cell of a hub data set; a page has three thousand
CLIPPED = "reached less than a pixel beyond their image; clipped"
LARGEST = 1e12  # no coordinate is; NaN is not below it either
NOTABLE = 0.01  # pixels; less is the noise of written decimals

Corners = tuple[float, float, float, float]
Size = tuple[int, int]


def value_of(entry: object, key: str, location: str) -> object:
    """What an object has under a key. Raises DataError if it is no object, or lacks the key."""
    if not isinstance(entry, dict):
        raise DataError(f"{location}: {shown(entry)} is not an object; write {{…}}")
    if key not in entry:
        raise DataError(f"{location}: no {key!r}; {did_you_mean(key, list(entry)[:20])}")
    return entry[key]


def list_of(entry: object, key: str, location: str) -> list[object]:
    """The list that an object has under a key."""
    value = value_of(entry, key, location)
    if not isinstance(value, list):
        raise DataError(f"{location}: {key!r} is {shown(value)}, not a list")
    return value


def whole_of(entry: object, key: str, location: str) -> int:
    """The whole number that an object has under a key: an id, a count."""
    value = value_of(entry, key, location)
    if type(value) is not int:  # a bool is an int too
        raise DataError(f"{location}: {key} {shown(value)} is not a whole number; fix it")
    return value


def size_of(entry: object, location: str) -> Size:
    """Width and height of an image in pixels, as its annotation says."""
    width, height = whole_of(entry, "width", location), whole_of(entry, "height", location)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise DataError(f"{location}: {width} × {height} pixels is no size of an image; fix it")
    return width, height


def text_of(value: object, what: str, location: str) -> str:
    """A label or a phrase, on one line. Raises DataError for what a prompt cannot carry."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise DataError(f"{location}: {what} {shown(value)} is not a text; write some words")
    if len(text) > MAX_TEXT:
        raise DataError(
            f"{location}: {what} of {len(text)} characters, above {MAX_TEXT}; shorten it"
        )
    if replies.TAG.search(text) or "<|" in text or not text.isprintable():
        raise DataError(
            f"{location}: {what} {shown(text)} holds a tag or control character; reword it"
        )
    return text


def numbers_of(value: object, count: int, what: str, location: str) -> list[float]:
    """A list of so many finite numbers; texts and truth values are none."""
    if not isinstance(value, list | tuple) or len(value) != count:
        raise DataError(
            f"{location}: {what} {shown(value)} is not a list of {count} numbers; fix it"
        )
    for item in value:
        if type(item) not in (int, float) or not -LARGEST < item < LARGEST:
            raise DataError(
                f"{location}: {what} {shown(value)} holds {shown(item)}, no finite number"
            )
    return [float(item) for item in value]


def corners_of_bbox(value: object, location: str) -> Corners:
    """The corners of a COCO box, [x, y, width, height] in pixels."""
    x, y, width, height = numbers_of(value, 4, "bbox", location)
    if width <= 0 or height <= 0:
        raise DataError(
            f"{location}: bbox {shown(value)} is {width:g} wide and {height:g} high; it is "
            "[x, y, width, height], fix it or take it out"
        )
    return x, y, x + width, y + height


def box_in(corners: Corners, size: Size, location: str, tally: Counter[str]) -> Box:
    """The box in fractions of the image. corners: x1, y1, x2, y2 in pixels, from 0 to its size.

    An edge less than a pixel beyond the image is clipped, and counted in `tally`. Raises
    DataError for one that is further out, and for a box without area.
    """
    width, height = size
    left, top, right, bottom = corners
    beyond = max(
        -left, -top, -right, -bottom, left - width, right - width, top - height, bottom - height
    )
    if not beyond < 1:
        raise DataError(
            f"{location}: box {_written(corners)} leaves the image of "
            f"{width} × {height} pixels; clip it, or fix the size"
        )
    if beyond > 0:
        if beyond > NOTABLE:
            tally[CLIPPED] += 1
        left, right = max(0.0, left), min(right, float(width))
        top, bottom = max(0.0, top), min(bottom, float(height))
    x1, y1, x2, y2 = left / width, top / height, right / width, bottom / height
    if not (x1 < x2 and y1 < y2):
        raise DataError(f"{location}: box {_written(corners)} has no area; take it out")
    return Box(x1, y1, x2, y2)


def _written(corners: Corners) -> str:
    return f"({', '.join(f'{edge:g}' for edge in corners)})"


def check_texts(values: Mapping[str, object], location: str) -> None:
    """Raises DataError if a cell holds a text that no label, question or answer needs."""
    for column, cell in values.items():
        waiting = [cell]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str) and len(value) > MAX_LETTERS:
                raise DataError(
                    f"{location}: column {column!r} has a text of {len(value):,} characters, above "
                    f"{MAX_LETTERS:,}; shorten it, or take the column out"
                )
            if isinstance(value, dict):
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
