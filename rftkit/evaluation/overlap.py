"""Train/test overlap: training images among the test images, or why it was not checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rftkit.core import Example
from rftkit.data.duplicates import fingerprint, one_each, overlap
from rftkit.data.examples import load_examples
from rftkit.data.read_cache import ReadCache
from rftkit.errors import DataError
from rftkit.messages import first_line
from rftkit.metrics.samples import Overlap, OverlapSkipped
from rftkit.recipe.schema import Recipe

COMPARED_UP_TO = 5000  # images in all; above it the search for copies is left to `rftkit check`
PAIRS_KEPT = 20


class Shots(NamedTuple):
    """What a model was trained on; without examples, `error` says why they cannot be read."""

    examples: Sequence[Example] = ()
    error: str = ""


NO_SHOTS = Shots(error="none are known")


def read_shots(recipe: Recipe, cache: ReadCache) -> Shots:
    """The examples that a recipe trains on; none where its data is not at hand any more."""
    try:
        return Shots(load_examples(recipe, recipe.data.train_split, cache=cache).examples)
    except DataError as error:
        return Shots(error=first_line(error))


def find_overlap(shots: Shots, tests: Sequence[Example]) -> Overlap | OverlapSkipped:
    """Training images that are also tested on, or why they were not looked for.

    Raises DataError for a test image that cannot be opened.
    """
    ours, theirs = one_each(shots.examples), one_each(tests)
    if not ours:
        return OverlapSkipped(reason="unreadable", detail=shots.error)
    if (count := len(ours) + len(theirs)) > COMPARED_UP_TO:
        most = f"above the {COMPARED_UP_TO} that an evaluation compares"
        return OverlapSkipped(
            reason="too many", detail=f"{count} images, {most}; rftkit check compares them"
        )
    try:
        marks = [fingerprint(example) for example in ours]
    except DataError as error:
        return OverlapSkipped(reason="unreadable", detail=first_line(error))
    pairs = overlap(marks, [fingerprint(example) for example in theirs])
    names = tuple((pair.first.id, pair.second.id) for pair in pairs[:PAIRS_KEPT])
    exact = sum(pair.exact for pair in pairs)
    return Overlap(exact=exact, near=len(pairs) - exact, pairs=names)
