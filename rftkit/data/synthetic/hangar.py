"""Drawn aircraft: twelve made-up variants that differ by their wings, engines and tail.

A name says all three, as the names of real variants do: `Swift 4T` has swept wings, four engines
and a twin tail. A model that has learnt some of the names can therefore work out the others.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SIDE = 112  # pixels of a drawn image, which is square
FINE = 2  # drawn this many times larger, then reduced: smooth edges
WINGS = {"Heron": "straight", "Swift": "swept", "Manta": "delta"}
ENGINES = {"2": "two", "4": "four"}
TAILS = {"C": "single", "T": "twin"}

Point = tuple[float, float]


class Parts(NamedTuple):
    """What a name says: the family (wings), the engines and the tail, as in the tables above."""

    family: str
    engines: str
    tail: str


def _names() -> tuple[str, ...]:
    return tuple(f"{f} {e}{t}" for f in WINGS for e in ENGINES for t in TAILS)


HANGAR_NAMES = _names()


def parts(name: str) -> Parts:
    """`Swift 4T` as ("Swift", "4", "T")."""
    family, variant = name.split(" ")
    return Parts(family, variant[0], variant[1])


def sibling(name: str) -> str:
    """The variant that differs by its tail only."""
    family, engines, tail = parts(name)
    return f"{family} {engines}{'T' if tail == 'C' else 'C'}"


def hangar_rationale(name: str) -> str:
    """The wings, engines and tail to be seen, in eight words."""
    family, engines, tail = parts(name)
    return f"{WINGS[family]} wings, {ENGINES[engines]} engines, a {TAILS[tail]} tail"


def draw_aircraft(name: str, rng: np.random.Generator) -> Image.Image:
    """The aircraft seen from above, nose up, mode RGB, SIDE x SIDE; the same for the same `rng`."""
    sky = rng.integers([90, 130, 170], [190, 215, 250])
    hull = rng.integers(20, 80, 3)
    side = SIDE * FINE
    image = Image.new("RGB", (side, side), tuple(int(v) for v in sky))
    pen = ImageDraw.Draw(image)
    place = _placing(rng, side)
    body, engines = _shapes(parts(name), rng)
    for shape in body:
        pen.polygon([place(point) for point in shape], fill=tuple(int(v) for v in hull))
    for shape in engines:
        pen.polygon([place(point) for point in shape], fill=(235, 60, 40))
    return _dusty(image.resize((SIDE, SIDE), Image.Resampling.BOX), rng)


class _Placing(NamedTuple):
    """Aircraft coordinates (nose at y = -1, tail at y = 1) to pixels."""

    centre: Point
    scale: float
    angle: float

    def __call__(self, point: Point) -> Point:
        x, y = point
        c, s = cos(self.angle) * self.scale, sin(self.angle) * self.scale
        return (self.centre[0] + c * x - s * y, self.centre[1] + s * x + c * y)


def _placing(rng: np.random.Generator, side: int) -> _Placing:
    jitter = side * 0.04
    centre = (side / 2 + rng.uniform(-jitter, jitter), side / 2 + rng.uniform(-jitter, jitter))
    return _Placing(centre, side * rng.uniform(0.38, 0.46), rng.uniform(-0.3, 0.3))


def _shapes(which: Parts, rng: np.random.Generator) -> tuple[list[list[Point]], list[list[Point]]]:
    """The polygons of hull, wings and tail, and those of the engines."""
    width = rng.uniform(0.08, 0.12)
    hull = [(0.0, -1.0), (width, -0.75), (width, 0.8), (0.0, 1.0), (-width, 0.8), (-width, -0.75)]
    span = rng.uniform(0.85, 1.0)
    root, tip, chord = {
        "straight": (-0.25, -0.2, 0.3),
        "swept": (-0.45, 0.3, 0.28),
        "delta": (-0.6, 0.45, 0.12),
    }[WINGS[which.family]]
    rear = 0.5 if WINGS[which.family] == "delta" else root + chord * 1.4
    wing = [(0.0, root), (span, tip), (span, tip + chord), (0.0, rear)]
    engines = []
    for reach in (0.35, 0.65)[: int(which.engines) // 2]:
        y = root + (tip - root) * reach / span + 0.04
        engines += _pair(_pod(reach, y))
    return [hull, *_pair(wing), *_tail(which.tail)], engines


def _tail(tail: str) -> list[list[Point]]:
    """A single straight tailplane, or twin fins that stand apart."""
    if TAILS[tail] == "single":
        return _pair([(0.0, 0.7), (0.6, 0.74), (0.6, 0.98), (0.0, 0.98)])
    return _pair([(0.05, 0.6), (0.18, 0.6), (0.42, 1.1), (0.2, 1.1)])


def _pair(shape: list[Point]) -> list[list[Point]]:
    return [shape, [(-x, y) for x, y in shape]]


def _pod(x: float, y: float) -> list[Point]:
    """An engine: an ellipse of eight corners."""
    turns = [pi / 4 * k for k in range(8)]
    return [(x + 0.075 * cos(t), y + 0.14 * sin(t)) for t in turns]


def _dusty(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    noise = rng.normal(0, rng.uniform(0, 12), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
