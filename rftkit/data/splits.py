"""A held-out share for data without splits. Its seed is fixed: every run has the same test set."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from rftkit.errors import DataError
from rftkit.recipe.sections import Data

HELD_OUT = 5  # one image in five is tested on
SEED = 0  # not the recipe's: runs with different seeds are measured on the same images
NOTE = f"no split is given: one image in {HELD_OUT} of each class is held out (fixed seed {SEED})"
IMAGES_NOTE = f"no split is given: one image in {HELD_OUT} is held out (fixed seed {SEED})"


def held_out(names: Mapping[str, Sequence[str]], location: str) -> frozenset[str]:
    """The images to test on: a fifth of each class, at least one. names: class -> images.

    Depends on the names only, not on their order. Raises DataError for a class of one image.
    """
    chosen: set[str] = set()
    for label, images in names.items():
        order = sorted(set(images))
        if len(order) < 2:
            raise DataError(
                f"{location}: class {label!r} has one image; to split it into train and test it "
                "needs two, add one or make the split yourself"
            )
        random.Random(f"{SEED}:{label}").shuffle(order)
        chosen.update(order[: max(1, round(len(order) / HELD_OUT))])
    return frozenset(chosen)


def is_test(data: Data, split: str, location: str) -> bool:
    """Whether `split` is the held-out one, where only the recipe's two can be made."""
    if split not in data.splits:
        there = " and ".join(data.splits)
        raise DataError(f"{location}: no split {split!r}; it is divided into {there}")
    return split == data.test_split


def held_out_images(names: Iterable[str], location: str) -> frozenset[str]:
    """The images to test on where an image has no one class: a fifth of them, at least one.

    Depends on the names only, not on their order. Raises DataError for a single image.
    """
    order = sorted(set(names))
    if len(order) < 2:
        raise DataError(
            f"{location}: {len(order)} images; to split them into train and test it needs two, add "
            "one or make the split yourself"
        )
    random.Random(SEED).shuffle(order)
    return frozenset(order[: max(1, round(len(order) / HELD_OUT))])
