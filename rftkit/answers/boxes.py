"""Boxes in fractions of the image; a model's own coordinates appear only in texts (`box_text`).

A `Grid` is the coordinate convention of a text: 1000 × 1000 for models that write thousandths of
the image, the (resized) image's width and height for models that write pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from rftkit.answers.labels import normalise
from rftkit.answers.literals import number
from rftkit.errors import DataError

MAX_BOXES = 1_000  # a longer list is not read as an answer
Y_FIRST = "y first"
NOWHERE = (0.0, 0.0, 0.0, 0.0)  # overlaps nothing
NEAR = 1e-9  # an overlap of exactly 0.5 in whole pixels is not lost to rounding in fractions

Corners = tuple[float, float, float, float]
T = TypeVar("T")


class Box(NamedTuple):
    """Left, top, right and bottom edge as fractions of the image's width and height.

    Gold boxes lie in [0, 1]; a model's may reach outside. x1 < x2 and y1 < y2 always hold.
    """

    x1: float
    y1: float
    x2: float
    y2: float


class LabelledBox(NamedTuple):
    """One annotated object; `crowd` marks a region of many objects that are not boxed singly."""

    label: str
    box: Box
    crowd: bool = False


class PredictedBox(NamedTuple):
    """One entry of a model's list. `box` is None if it is invalid; it still is a false positive."""

    box: Box | None
    confidence: float = 1.0
    label: str = ""


class Match(NamedTuple):
    """One predicted box after matching: its IoU with its gold box, 0 if it has none."""

    iou: float
    confidence: float


class Grid(NamedTuple):
    """The coordinate convention of a text: how many units make the image's width and height.

    y_first: a box is written top, left, bottom, right instead of left, top, right, bottom.
    """

    width: int = 1000
    height: int = 1000
    y_first: bool = False

    @classmethod
    def named(cls, name: object) -> Grid:
        """The grid called "640x480", or "640x480 y first"; thousandths for None.

        >>> Grid.named("640x480")
        Grid(width=640, height=480, y_first=False)
        """
        size, _, order = str(name or "1000x1000").partition(" ")
        width, _, height = size.partition("x")
        return cls(int(width), int(height), order == Y_FIRST)

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Grid:
        """The grid of an example's texts, kept in `meta["grid"]`; thousandths without one."""
        return cls.named(meta.get("grid"))

    def __str__(self) -> str:
        """Its name: "640x480"."""
        return f"{self.width}x{self.height}" + (f" {Y_FIRST}" if self.y_first else "")

    def written(self, x1: T, y1: T, x2: T, y2: T) -> tuple[T, T, T, T]:
        """The four edges in the order of the text, of numbers or of their names.

        >>> Grid(1000, 1000, y_first=True).written("x1", "y1", "x2", "y2")
        ('y1', 'x1', 'y2', 'x2')
        """
        return (y1, x1, y2, x2) if self.y_first else (x1, y1, x2, y2)


THOUSANDTHS = Grid()


def iou(a: Corners, b: Corners) -> float:
    """Intersection over union, in [0, 1]; the same in any unit. 0 if an area is not finite."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = _area(a) + _area(b) - width * height
    return min(1.0, width * height / union) if 0 < union < math.inf else 0.0


def ious(predicted: Sequence[Box | None], gold: Sequence[Box]) -> list[list[float]]:
    """`iou` of each with each, (predicted, gold), all at once; 0 in the row of None.

    A model may write a thousand boxes: one by one, a million pairs take a quarter of a minute.
    """
    import numpy as np

    if not predicted or not gold:
        return [[] for _ in predicted]
    a = np.array([box or NOWHERE for box in predicted], dtype=float)[:, None]
    b = np.array(gold, dtype=float)[None]
    with np.errstate(all="ignore"):  # an area that is not finite has no overlap
        width, height, area_a, area_b = (
            *(np.minimum(a[..., n + 2], b[..., n + 2]) - np.maximum(a[..., n], b[..., n])
              for n in (0, 1)),
            *((c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1]) for c in (a, b)),
        )  # fmt: skip
        union = area_a + area_b - width * height
        meet = (width > 0) & (height > 0) & (union > 0) & (union < math.inf)
        found = np.where(meet, np.minimum(1.0, width * height / union), 0.0)
    table: list[list[float]] = found.tolist()
    return table


def giou(a: Corners, b: Corners) -> float:
    """Generalised IoU (Rezatofighi et al. 2019), in (-1, 1] for valid boxes.

    Used by the papers' rules only. Inverted corners are not reordered and may give any number.
    -1 if undefined.
    """
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = _area(a) + _area(b) - width * height
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    if not (union and hull and math.isfinite(union) and math.isfinite(hull)):
        return -1.0
    return width * height / union - (hull - union) / hull


def match_boxes(
    predicted: Sequence[PredictedBox],
    gold: Sequence[Box],
    threshold: float = 0.5,
    names: Sequence[str] = (),
) -> list[Match]:
    """The IoU and confidence of each predicted box, in their order, after one-to-one matching.

    Greedy: highest confidence first, then best IoU; the order of the lists does not matter. Each
    gold box is matched at most once, with an IoU of at least `threshold` (above 0 in any case).
    names: a label for each gold box, if the predicted boxes must name the same one.
    """
    wanted = [normalise(name) for name in names]
    table = ious([entry.box for entry in predicted], gold)
    pairs = [
        (-entry.confidence, -overlap, entry.box, gold[g], f, g)
        for f, entry in enumerate(predicted)
        for g, overlap in enumerate(table[f])
        if overlap > 0 and overlap >= threshold - NEAR
        if not wanted or normalise(entry.label) == wanted[g]
    ]
    iou_of: dict[int, float] = {}
    used_gold: set[int] = set()
    for _, overlap, _, _, f, g in sorted(pairs):
        if f not in iou_of and g not in used_gold:
            iou_of[f] = -overlap
            used_gold.add(g)
    return [Match(iou_of.get(f, 0.0), entry.confidence) for f, entry in enumerate(predicted)]


def in_grid(box: Box, grid: Grid) -> list[float]:
    """The four edges in units of the grid, rounded to 6 decimals: what was read comes back."""
    sides = (grid.width, grid.height, grid.width, grid.height)
    edges = [round(edge * side, 6) for edge, side in zip(box, sides, strict=True)]
    return [int(edge) if edge == int(edge) else edge for edge in edges]


def is_rounded_gold(predicted: Sequence[Box | None], gold: Sequence[Box], grid: Grid) -> bool:
    """Whether these are the gold boxes in order, each edge within one unit of the grid."""
    if len(predicted) != len(gold):
        return False
    units = (grid.width, grid.height, grid.width, grid.height)
    return all(
        box is not None
        and all(abs(a - b) * n < 1 for a, b, n in zip(box, right, units, strict=True))
        for box, right in zip(predicted, gold, strict=True)
    )


def box_of(value: object, grid: Grid) -> Box | None:
    """The box of four finite numbers with x1 < x2 and y1 < y2; None for anything else.

    The numbers stand in the order of the grid.
    """
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    edges = [edge for item in value if (edge := number(item)) is not None]
    if len(edges) != 4 or not all(map(math.isfinite, edges)):
        return None
    x1, y1, x2, y2 = grid.written(*edges)
    box = Box(x1 / grid.width, y1 / grid.height, x2 / grid.width, y2 / grid.height)
    return box if box.x1 < box.x2 and box.y1 < box.y2 else None


def gold_box(value: object, grid: Grid, location: str) -> Box:
    """A gold box of the user's data, x first. Raises DataError if it is invalid or too large."""
    box = box_of(value, grid._replace(y_first=False))
    shown = repr(value)[:80]
    if box is None:
        raise DataError(
            f"{location}: gold box {shown} is not [x1, y1, x2, y2] with x1 < x2 and y1 < y2; fix it"
        )
    if min(box) < 0 or max(box) > 1:
        raise DataError(
            f"{location}: gold box {shown} leaves the image, {grid.width} by {grid.height} units; "
            "clip it, or say which coordinates it is in"
        )
    return box


def dump_boxes(boxes: Sequence[Box], names: Sequence[str] = ()) -> str:
    """Gold boxes as `Example.gold` stores them: a JSON list of four unrounded fractions each.

    names: a label for each box, written as its fifth entry.
    """
    if not names:
        return json.dumps([list(box) for box in boxes])
    pairs = zip(boxes, names, strict=True)
    return json.dumps([[*box, name] for box, name in pairs], ensure_ascii=False)


def load_boxes(gold: str) -> list[Box]:
    """The boxes that `dump` wrote."""
    return [Box(*entry[:4]) for entry in json.loads(gold)]


def load_box_labels(gold: str) -> list[str]:
    """The labels that `dump` wrote; none if it wrote none."""
    return [entry[4] for entry in json.loads(gold) if len(entry) > 4]


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
