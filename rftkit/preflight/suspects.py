"""What in a data set makes a result weak, found without a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import PurePath

from rftkit.answers.labels import normalise
from rftkit.core import Example
from rftkit.data.duplicates import Print, near_copies, two_labels
from rftkit.measures.statistics import VISIBLE
from rftkit.metrics.headline import COARSE

IMBALANCE = 10.0  # times as many images of one class as of another
CHANGED = 0.3  # share of answers that are right of one model only: a usual value
SHOWN = 3


def visible_difference(images: int) -> float:
    """The difference of two accuracies that a test set of so many images shows, in [0, 1].

    With a power of 80 % at 5 %, if `CHANGED` of the answers are right of one model only.
    """
    return min(1.0, VISIBLE * sqrt(CHANGED / images))


def size_notes(images: int) -> list[str]:
    """A note on a test set that is too small to show much."""
    if not images or visible_difference(images) <= COARSE:
        return []
    return [
        f"{images} test images show only differences of about {visible_difference(images):.0%} or "
        "more (80 % power); hold more images out, or take the result as a hint"
    ]


def imbalance_notes(examples: Sequence[Example]) -> list[str]:
    """A note where some class has many times the training images of another."""
    counts = Counter(example.category for example in examples if example.category)
    if len(counts) < 2:
        return []
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many < IMBALANCE * few:
        return []
    return [
        f"{many} training images of {most!r}, {few} of {least!r}: the model will prefer {most!r}; "
        "add images, or set data.shots to take as many of each"
    ]


def label_notes(prints: Sequence[Print], labels: Sequence[str]) -> list[str]:
    """Notes on labels that may be wrong: copies under two labels, files named after another."""
    pairs = [
        f"{pair.first.id} and {pair.second.id} are one image under two labels"
        for pair in two_labels(prints)
    ]
    near = [
        f"{pair.first.id} ({pair.first.gold}) and {pair.second.id} ({pair.second.gold})"
        for pair in near_copies(prints)
        if pair.first.gold != pair.second.gold
    ]
    if near:
        pairs.append(f"nearly the same image under two labels: {_some(near)}")
    named = [*_named_otherwise(prints, labels)]
    if named:
        pairs.append(f"file names that hold another label: {_some(named)}")
    return pairs


def _named_otherwise(prints: Sequence[Print], labels: Sequence[str]) -> Iterator[str]:
    """Images whose file name holds a label that is not theirs, and not their own."""
    words = {label: re.compile(rf"(?<![a-z]){re.escape(normalise(label))}(?![a-z])")
             for label in labels if len(label) > 2}  # fmt: skip
    for mark in prints:
        name = normalise(PurePath(mark.example.image.name).stem)
        held = [label for label, word in words.items() if word.search(name)]
        if held and mark.example.gold not in held:
            yield f"{mark.example.id} is labelled {mark.example.gold!r}"


def _some(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more
