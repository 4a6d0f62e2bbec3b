"""The built-in data set `scenes`: one to four handwritten digits in an image, none stored.

The same images serve four tasks; `data.path` says which: detection, grounding, choice, number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from rftkit.core import Row
from rftkit.data.sources import builtin
from rftkit.data.synthetic import digits, scene_questions
from rftkit.data.synthetic.scene_questions import KINDS
from rftkit.data.synthetic.scenes import Place, Thing, compose, cropped, draw_labels, place_all
from rftkit.errors import DataError

PER_SPLIT = 400  # images
QUESTION_SEED = 1  # what is asked is drawn apart from the image, which all tasks share


@dataclass(frozen=True)
class HandwrittenScene:
    """Scans of the UCI set, each stretched to its place; drawn whenever it is opened."""

    name: str
    scans: tuple[int, ...]
    places: tuple[Place, ...]
    seed: tuple[int, ...]

    def open(self) -> Image.Image:
        """The scene, dark on light, mode RGB, 112 x 112."""
        inks = [cropped(builtin.scan_ink(scan)) for scan in self.scans]
        return compose(self.places, inks, np.random.default_rng(self.seed))

    @property
    def things(self) -> tuple[Thing, ...]:
        """The digits and where they stand."""
        pairs = zip(self.scans, self.places, strict=True)
        return tuple(Thing(builtin.scan_label(scan), place) for scan, place in pairs)


def rows(kind: str, split: str) -> Iterator[Row]:
    """The 400 scenes of a split, a question for a task of that kind about each.

    kind: a name of KINDS. No scan is in both splits. Raises DataError for another kind or split.
    """
    asked = next((name for name in KINDS if name == kind), None)
    if asked is None:
        raise DataError(
            f"data.path: {kind!r}: source 'scenes' takes the kind of question here: "
            f"{', '.join(KINDS)}"
        )
    builtin.check_split(split, "scenes")
    for number, scene in enumerate(_scenes(split)):
        seed = (*_seed(split, number), QUESTION_SEED, KINDS.index(asked))
        values = scene_questions.values(asked, scene.things, np.random.default_rng(seed))
        yield Row(scene.name, scene, {"image": scene.name, **values})


@cache
def _scenes(split: str) -> tuple[HandwrittenScene, ...]:
    by_label: dict[str, list[int]] = {}
    for scan in builtin.scan_numbers(split):
        by_label.setdefault(builtin.scan_label(scan), []).append(scan)
    return tuple(_scene(split, number, by_label) for number in range(PER_SPLIT))


def _scene(split: str, number: int, by_label: dict[str, list[int]]) -> HandwrittenScene:
    seed = _seed(split, number)
    rng = np.random.default_rng(seed)
    labels = draw_labels(digits.DIGITS, rng)
    scans = [by_label[label][int(rng.integers(len(by_label[label])))] for label in labels]
    inks = [cropped(builtin.scan_ink(scan)) for scan in scans]
    places = place_all(inks, rng)
    return HandwrittenScene(f"scenes:{split}:{number}", tuple(scans), tuple(places), seed)


def _seed(split: str, number: int) -> tuple[int, ...]:
    return (builtin.SPLIT_SEED, builtin.SPLITS.index(split), number)
