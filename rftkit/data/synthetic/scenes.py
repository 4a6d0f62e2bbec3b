"""Scenes: one to four digits side by side on plain paper, each filling a box of whole units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from rftkit.answers.boxes import Box

SIDE = 112  # pixels of a scene, which is square
UNITS = 16  # along a side: a box starts and ends on whole units of 7 pixels
MOST = 4  # digits in a scene
REPEATED = 0.4  # chance that a digit is one that is there already
HEIGHTS = (4, 5, 6, 7)  # units
NARROWEST = 2  # units
FAINT = 0.25  # less ink does not count as the edge of a digit
TRIES = 60  # of placing one digit before all are placed anew


class Place(NamedTuple):
    """Where a digit stands: left, top, right and bottom edge in units."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def area(self) -> int:
        """In square units."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    @property
    def box(self) -> Box:
        """The same as fractions of the image."""
        return Box(*(edge / UNITS for edge in self))


class Thing(NamedTuple):
    """One digit of a scene."""

    label: str
    place: Place


def draw_labels(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The digits of a scene, one to MOST of them, some of them twice."""
    labels: list[str] = []
    for _ in range(int(rng.integers(1, MOST + 1))):
        allowed = labels if labels and rng.random() < REPEATED else names
        labels.append(allowed[int(rng.integers(len(allowed)))])
    return labels


def cropped(ink: np.ndarray) -> np.ndarray:
    """The part of a drawing, (rows, columns) in [0, 1], that holds its ink."""
    rows, columns = np.nonzero(ink >= FAINT * ink.max())
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def place_all(inks: Sequence[np.ndarray], rng: np.random.Generator) -> list[Place]:
    """A place for each cropped drawing, of nearly its own shape, a unit or more from the others."""
    while True:
        places: list[Place] = []
        for ink in inks:
            tried = (_spot(ink, rng) for _ in range(TRIES))
            free = (spot for spot in tried if all(_apart(spot, other) for other in places))
            if (spot := next(free, None)) is None:
                break
            places.append(spot)
        if len(places) == len(inks):
            return places


def compose(
    places: Sequence[Place], inks: Sequence[np.ndarray], rng: np.random.Generator
) -> Image.Image:
    """The scene: each cropped drawing stretched to its place, mode RGB, SIDE x SIDE pixels."""
    unit = SIDE // UNITS
    paper = np.zeros((SIDE, SIDE), dtype=np.float32)
    for place, ink in zip(places, inks, strict=True):
        x1, y1, x2, y2 = (edge * unit for edge in place)
        stretched = Image.fromarray(ink).resize((x2 - x1, y2 - y1), Image.Resampling.BICUBIC)
        paper[y1:y2, x1:x2] = np.clip(np.asarray(stretched), 0, 1)
    light, dark = rng.uniform(215, 255), rng.uniform(0, 60)
    noise = rng.normal(0, rng.uniform(0, 6), paper.shape)
    grey = np.clip(light - (light - dark) * paper + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _spot(ink: np.ndarray, rng: np.random.Generator) -> Place:
    rows, columns = ink.shape
    high = int(rng.choice(HEIGHTS))
    wide = min(max(NARROWEST, round(high * columns / rows)), max(HEIGHTS))
    x, y = int(rng.integers(UNITS - wide + 1)), int(rng.integers(UNITS - high + 1))
    return Place(x, y, x + wide, y + high)


def _apart(a: Place, b: Place) -> bool:
    return a.x2 < b.x1 or b.x2 < a.x1 or a.y2 < b.y1 or b.y2 < a.y1
