"""Boxes: fractions of the picture inside, a model's coordinates only where text is read or written.

A `Grid` is the convention of a text: 1000 × 1000 for models that count in thousandths of the
picture, the picture's own (resized) width and height for models that count pixels.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rftkit.errors import DataError
from rftkit.labels import normalise
from rftkit.literals import literal

MAX_CHARS = 65_536  # a longer text is no answer
MAX_BOXES = 1_000  # nor is a longer list
NEAR = 1e-9  # an overlap of exactly 0.5 in whole pixels is not lost to rounding in fractions

POSITION_KEYS = ("position", "bbox_2d", "bbox", "box")
CONFIDENCE_KEYS = ("confidence", "score")
LABEL_KEYS = ("label", "category", "class", "name")

_NUMBER = r"\s*(-?\d++(?:\.\d++)?+)\s*"
CORNERS = re.compile(rf"\({_NUMBER},{_NUMBER}\)\s*,\s*\({_NUMBER},{_NUMBER}\)")

Corners = tuple[float, float, float, float]


class Box(NamedTuple):
    """Left, top, right and bottom edge as fractions of the picture's width and height.

    Gold boxes lie in [0, 1]; a model's may reach outside. x1 < x2 and y1 < y2 always hold.
    """

    x1: float
    y1: float
    x2: float
    y2: float


class Labelled(NamedTuple):
    """One annotated object; `crowd` marks a region of many that nobody counted."""

    label: str
    box: Box
    crowd: bool = False


class Found(NamedTuple):
    """One entry of a model's list; `box` is None if it is no box: a false positive all the same."""

    box: Box | None
    confidence: float = 1.0
    label: str = ""


class Match(NamedTuple):
    """One found entry after matching: its overlap with its gold box, 0 if it has none."""

    iou: float
    confidence: float


class Grid(NamedTuple):
    """How many units of a text's coordinates make the width and the height of the picture."""

    width: int = 1000
    height: int = 1000

    @classmethod
    def named(cls, name: object) -> Grid:
        """The grid called "640x480"; thousandths for None.

        >>> Grid.named("640x480")
        Grid(width=640, height=480)
        """
        width, _, height = str(name or "1000x1000").partition("x")
        return cls(int(width), int(height))

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Grid:
        """The grid of an example's texts, kept in `meta["grid"]`; thousandths without one."""
        return cls.named(meta.get("grid"))

    def __str__(self) -> str:
        """Its name: "640x480"."""
        return f"{self.width}x{self.height}"


THOUSANDTHS = Grid()


def iou(a: Corners, b: Corners) -> float:
    """Intersection over union, in [0, 1]; the same in any unit. 0 for an area that is no number."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = _area(a) + _area(b) - width * height
    return min(1.0, width * height / union) if 0 < union < math.inf else 0.0


def giou(a: Corners, b: Corners) -> float:
    """Generalised IoU (Rezatofighi et al. 2019), in (-1, 1] for boxes; the papers' rule only.

    Corners are not put in order first, so inverted ones give any number. -1 if undefined.
    """
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = _area(a) + _area(b) - width * height
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    if not (union and hull and math.isfinite(union) and math.isfinite(hull)):
        return -1.0
    return width * height / union - (hull - union) / hull


def match(
    found: Sequence[Found],
    gold: Sequence[Box],
    threshold: float = 0.5,
    names: Sequence[str] = (),
) -> list[Match]:
    """Every found entry with the overlap it earns; the order of both lists does not matter.

    Greedy: highest confidence first, then best overlap. Each gold box is given once, and only for
    an overlap of at least `threshold` (above 0 in any case). names: a label for each gold box, if
    the entries must name the right one.
    """
    pairs = [
        (-entry.confidence, -overlap, entry.box, gold[g], f, g)
        for f, entry in enumerate(found)
        if entry.box is not None
        for g in range(len(gold))
        if not names or normalise(entry.label) == normalise(names[g])
        if (overlap := iou(entry.box, gold[g])) > 0 and overlap >= threshold - NEAR
    ]
    earned: dict[int, float] = {}
    taken: set[int] = set()
    for _, overlap, _, _, f, g in sorted(pairs):
        if f not in earned and g not in taken:
            earned[f] = -overlap
            taken.add(g)
    return [Match(earned.get(f, 0.0), entry.confidence) for f, entry in enumerate(found)]


def read_boxes(text: str, grid: Grid = THOUSANDTHS) -> list[Found] | None:
    """The boxes in a model's answer; None if it is no list of boxes. Never raises.

    JSON or a Python literal, in a code fence or not: a list of objects or of four numbers each,
    one object, or four numbers. "No Objects" is the empty list. An entry that is not four finite
    numbers with x1 < x2 and y1 < y2 is kept without a box.
    """
    if len(text) > MAX_CHARS:
        return None
    text = _unfenced(text)
    if len(text) < 40 and re.sub(r"[\W_]+", " ", text).strip().casefold() == "no objects":
        return []
    entries = _entries(literal(text))
    if entries is None or len(entries) > MAX_BOXES:
        return None
    return [_found(entry, grid) for entry in entries]


def read_box(text: str, grid: Grid = THOUSANDTHS) -> Box | None:
    """The one box in a model's answer; None if there is none, several, or an invalid one.

    What `read_boxes` takes, and the corners "(x1,y1),(x2,y2)" if no tag and no other digit stands
    beside them. Never raises.
    """
    if len(text) > MAX_CHARS:
        return None
    text = _unfenced(text)
    value = literal(text)
    if isinstance(value, list) and len(value) == 2 and all(_is_pair(half) for half in value):
        return box_of([*value[0], *value[1]], grid)
    entries = _entries(value)
    if entries is not None:
        return _found(entries[0], grid).box if len(entries) == 1 else None
    corners = CORNERS.search(text)
    if corners is None:
        return None
    beside = text[: corners.start()] + text[corners.end() :]
    if re.search(r"[\d<>]", beside):
        return None
    return box_of([float(edge) for edge in corners.groups()], grid)


def write_boxes(boxes: Sequence[Box], grid: Grid = THOUSANDTHS, names: Sequence[str] = ()) -> str:
    """The answer that gives these boxes, in whole units of the grid; names: their labels."""
    entries: list[dict[str, object]] = [
        {"Position": _whole(box, grid), "Confidence": 1} for box in boxes
    ]
    if names:
        pairs = zip(names, entries, strict=True)
        entries = [{"Label": name, **entry} for name, entry in pairs]
    return json.dumps(entries, ensure_ascii=False)


def write_box(box: Box, grid: Grid = THOUSANDTHS) -> str:
    """The answer that gives this one box, in whole units of the grid.

    >>> write_box(Box(0.1, 0.2, 0.3, 0.4))
    '(100,200),(300,400)'
    """
    x1, y1, x2, y2 = _whole(box, grid)
    return f"({x1},{y1}),({x2},{y2})"


def in_grid(box: Box, grid: Grid) -> list[float]:
    """The four edges in units of the grid, not rounded to whole ones: what was read comes back."""
    sides = (grid.width, grid.height, grid.width, grid.height)
    edges = [round(edge * side, 6) for edge, side in zip(box, sides, strict=True)]
    return [int(edge) if edge == int(edge) else edge for edge in edges]


def box_of(value: object, grid: Grid) -> Box | None:
    """The box of four finite numbers with x1 < x2 and y1 < y2; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    edges = [number for item in value if (number := _number(item)) is not None]
    if len(edges) != 4 or not all(map(math.isfinite, edges)):
        return None
    x1, y1, x2, y2 = edges
    box = Box(x1 / grid.width, y1 / grid.height, x2 / grid.width, y2 / grid.height)
    return box if box.x1 < box.x2 and box.y1 < box.y2 else None


def gold_box(value: object, grid: Grid, place: str) -> Box:
    """A box of the user's data. Raises DataError if it is no box, or leaves the picture."""
    box = box_of(value, grid)
    shown = repr(value)[:80]
    if box is None:
        raise DataError(
            f"{place}: gold box {shown} is not [x1, y1, x2, y2] with x1 < x2 and y1 < y2; mend it"
        )
    if min(box) < 0 or max(box) > 1:
        raise DataError(
            f"{place}: gold box {shown} leaves the picture, {grid.width} by {grid.height} units; "
            "clip it, or say which coordinates it is in"
        )
    return box


def dump(boxes: Sequence[Box], names: Sequence[str] = ()) -> str:
    """Gold boxes as an example keeps them: JSON, a list of four fractions each, nothing rounded.

    names: a label for each, as a fifth entry.
    """
    if not names:
        return json.dumps([list(box) for box in boxes])
    pairs = zip(boxes, names, strict=True)
    return json.dumps([[*box, name] for box, name in pairs], ensure_ascii=False)


def load(gold: str) -> list[Box]:
    """The boxes that `dump` wrote."""
    return [Box(*entry[:4]) for entry in json.loads(gold)]


def load_names(gold: str) -> list[str]:
    """The labels that `dump` wrote; none if it wrote none."""
    return [entry[4] for entry in json.loads(gold) if len(entry) > 4]


def _unfenced(text: str) -> str:
    text = text.strip()
    opening = re.match(r"```\w*\s*", text)
    if opening is None:
        return text
    return text[opening.end() :].removesuffix("```").strip()


def _entries(value: object) -> list[object] | None:
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        return None
    flat = bool(value) and all(_number(item) is not None for item in value)
    return [value] if flat else value


def _found(entry: object, grid: Grid) -> Found:
    if not isinstance(entry, dict):
        return Found(box_of(entry, grid))
    folded = {str(key).strip().casefold(): value for key, value in entry.items()}
    position = next((folded[key] for key in POSITION_KEYS if key in folded), None)
    stated = next((folded[key] for key in CONFIDENCE_KEYS if key in folded), None)
    confidence = _number(stated)
    if confidence is None or math.isnan(confidence):
        confidence = 1.0
    label = next((folded[key] for key in LABEL_KEYS if key in folded), "")
    return Found(box_of(position, grid), min(1.0, max(0.0, confidence)), str(label).strip())


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _whole(box: Box, grid: Grid) -> list[int]:
    x1, x2 = _span(box.x1, box.x2, grid.width)
    y1, y2 = _span(box.y1, box.y2, grid.height)
    return [x1, y1, x2, y2]


def _span(low: float, high: float, units: int) -> tuple[int, int]:
    start, end = round(low * units), round(high * units)
    if start < end:
        return start, end
    start = min(start, units - 1)  # a sliver keeps one unit: no model is taught an empty box
    return start, start + 1
