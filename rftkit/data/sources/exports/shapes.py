"""Shapes that annotation tools draw, as the upright boxes around them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rftkit.answers.boxes import Box
from rftkit.data.sources.fields import CLIPPED, NOTABLE, Size
from rftkit.errors import DataError

ROTATED = "are rotated; the upright box around each is taken"
AROUND = "are those around other shapes"

Point = tuple[float, float]


class Extent(NamedTuple):
    """What a shape covers, in units of which an image is `size` wide and high."""

    left: float
    top: float
    right: float
    bottom: float


def around(points: Sequence[Point]) -> Extent:
    """The smallest upright rectangle that holds all points."""
    across, down = [x for x, _ in points], [y for _, y in points]
    return Extent(min(across), min(down), max(across), max(down))


def turned(extent: Extent, degrees: float, pivot: Point) -> Extent:
    """The upright rectangle around one that was turned clockwise about a point."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    left, top, right, bottom = extent
    corners = [(x - pivot[0], y - pivot[1]) for x in (left, right) for y in (top, bottom)]
    return around(
        [(pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine) for x, y in corners]
    )


def clipped(extent: Extent, size: tuple[float, float]) -> Extent:
    """The part of it that is inside the image: a turned rectangle's corners may be outside."""
    width, height = size
    left, top, right, bottom = extent
    return Extent(max(0.0, left), max(0.0, top), min(width, right), min(height, bottom))


def in_percent(extent: Extent, size: Size | None, location: str, tally: Counter[str]) -> Box:
    """The box, in fractions, of edges in per cent of the image.

    Less than a pixel beyond the image (without a size, less than a thousandth of it) is clipped.
    Raises DataError for more, and for a box without area.
    """
    width, height = size or (1000, 1000)
    left, top, right, bottom = (edge / 100 for edge in extent)
    beyond = max(-left * width, -top * height, (right - 1) * width, (bottom - 1) * height)
    written = ", ".join(f"{edge:g}" for edge in extent)
    if not beyond < 1:
        raise DataError(f"{location}: box ({written}) % leaves the image; fix it or take it out")
    tally[f"boxes {CLIPPED}"] += beyond > NOTABLE
    inside = clipped(Extent(left, top, right, bottom), (1.0, 1.0))
    if not (inside.left < inside.right and inside.top < inside.bottom):
        raise DataError(f"{location}: box ({written}) % has no area; take it out")
    return Box(*inside)
