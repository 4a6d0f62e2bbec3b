"""The two data sets that need no download: `digits` (real handwriting) and `hangar` (drawn)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from rftkit.core import Row
from rftkit.data.synthetic import digits, hangar
from rftkit.errors import DataError

SPLITS = ("train", "test")
SPLIT_SEED = 20260101
HANGAR_PER_NAME = 40  # images of each name in each split
SCALE = 7  # an 8 x 8 scan is shown at 56 x 56


@dataclass(frozen=True)
class ScannedDigit:
    """One 8 x 8 scan (values 0 to 16, ink is high) of the UCI set that scikit-learn carries."""

    name: str
    number: int

    def open(self) -> Image.Image:
        """The scan, dark on light, mode RGB, 56 x 56."""
        ink = _scans()[0][self.number]
        grey = np.round(255 - ink * (255 / 16)).astype(np.uint8)
        side = ink.shape[0] * SCALE
        image = Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)
        return image.convert("RGB")


@dataclass(frozen=True)
class DrawnAircraft:
    """One image of the hangar, drawn each time it is opened, always the same."""

    name: str
    variant: str
    seed: tuple[int, ...]

    def open(self) -> Image.Image:
        """The drawing, mode RGB, 112 x 112."""
        return hangar.draw_aircraft(self.variant, np.random.default_rng(self.seed))


def digits_rows(split: str) -> Iterator[Row]:
    """The scans of a split, 896 (train) or 901 (test): half of each class, none in both."""
    check_split(split, "digits")
    labels = _scans()[1]
    for location, number in enumerate(_digit_numbers(split)):
        label = str(labels[number])
        name = f"digits:{split}:{location}"
        image = ScannedDigit(name, number)
        yield _row(image, name, label, digits.digit_rationale(label))


def hangar_rows(split: str) -> Iterator[Row]:
    """The aircraft of a split: 40 of each of the 12 names, the names in turn."""
    check_split(split, "hangar")
    for location in range(HANGAR_PER_NAME * len(hangar.HANGAR_NAMES)):
        variant = hangar.HANGAR_NAMES[location % len(hangar.HANGAR_NAMES)]
        name = f"hangar:{split}:{location}"
        image = DrawnAircraft(name, variant, (SPLIT_SEED, SPLITS.index(split), location))
        yield _row(image, name, variant, hangar.hangar_rationale(variant))


def scan_numbers(split: str) -> tuple[int, ...]:
    """Which scans a split may show, in a shuffled order: the halves of `digits`, for other sets."""
    return _digit_numbers(split)


def scan_label(number: int) -> str:
    """The digit on a scan."""
    return str(_scans()[1][number])


def scan_ink(number: int) -> np.ndarray:
    """A scan without its paper: (8, 8) float32, 1 where there is most ink."""
    ink: np.ndarray = (_scans()[0][number] / 16).astype(np.float32)
    return ink


def _row(image: ScannedDigit | DrawnAircraft, location: str, label: str, rationale: str) -> Row:
    return Row(location, image, {"image": location, "label": label, "rationale": rationale})


def check_split(split: str, source: str) -> None:
    """Raises DataError for a split that no built-in set has."""
    if split not in SPLITS:
        raise DataError(f"source '{source}': no split '{split}'; it has 'train' and 'test'")


@cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """The scans (1797, 8, 8), 0 to 16, and their labels (1797,), from scikit-learn's own file.

    What `sklearn.datasets.load_digits` returns, without the second that importing it takes.
    """
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("source 'digits' needs scikit-learn: pip install scikit-learn")
    with gzip.open(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz") as table:
        numbers = np.loadtxt(table, delimiter=",")
    return numbers[:, :-1].reshape(-1, 8, 8), numbers[:, -1].astype(int)


@cache
def _digit_numbers(split: str) -> tuple[int, ...]:
    """Which scans belong to a split, in a shuffled order; each class is halved."""
    labels = _scans()[1]
    rng = np.random.default_rng(SPLIT_SEED)
    order = rng.permutation(len(labels))
    by_class = [order[labels[order] == label] for label in range(10)]
    first = split == "train"
    halves = [c[: len(c) // 2] if first else c[len(c) // 2 :] for c in by_class]
    chosen = np.concatenate(halves)
    return tuple(int(n) for n in rng.permutation(chosen))
