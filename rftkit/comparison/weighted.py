"""Metrics of a whole set as functions of the weights of its samples, so that draws are cheap.

With all weights 1 each is what `metrics` works out for the summary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rftkit.comparison.gaps import Weighted
from rftkit.measures import statistics
from rftkit.metrics.samples import Sample
from rftkit.tasks.task import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def macro_accuracy(samples: Sequence[Sample]) -> Weighted:
    """The mean over classes of their accuracy; a class that was not drawn is not in it."""
    import numpy as np

    _, gold = np.unique([sample.gold for sample in samples], return_inverse=True)
    correct = np.array([sample.correct for sample in samples])

    def value(weights: NDArray[np.float64]) -> float:
        n = np.bincount(gold, weights=weights)
        right = np.bincount(gold, weights=weights * correct)
        return float((right[n > 0] / n[n > 0]).mean())

    return value


def macro_f1(samples: Sequence[Sample]) -> Weighted:
    """The mean over classes of their F1; a class without images in the draw is not in it."""
    import numpy as np

    labels, gold = np.unique([sample.gold for sample in samples], return_inverse=True)
    place = {str(label): number for number, label in enumerate(labels)}
    other = len(labels)  # answers that are no class of the test, and invalid ones
    answers = [None if sample.invalid else sample.answer for sample in samples]
    answer = np.array([other if a is None else place.get(a, other) for a in answers])

    def value(weights: NDArray[np.float64]) -> float:
        n = np.bincount(gold, weights=weights, minlength=other)
        predicted = np.bincount(answer, weights=weights, minlength=other + 1)[:other]
        hits = np.bincount(gold, weights=weights * (gold == answer), minlength=other)
        return float((2 * hits[n > 0] / (predicted + n)[n > 0]).mean())

    return value


def harmonic(samples: Sequence[Sample]) -> Weighted:
    """H of base and new classes; NaN for a draw without one of the halves."""
    import numpy as np

    correct = np.array([sample.correct for sample in samples])
    halves = [
        np.array([float(sample.half == half) for sample in samples]) for half in ("base", "new")
    ]

    def value(weights: NDArray[np.float64]) -> float:
        sizes = [float(weights @ half) for half in halves]
        if not all(sizes):
            return math.nan
        base, new = (
            float((weights * half) @ correct) / n for half, n in zip(halves, sizes, strict=True)
        )
        return statistics.harmonic(base, new)

    return value


def ratio(parts: Sequence[Part]) -> Weighted:
    """The sum of totals over the sum of weights; NaN where the second is 0."""
    import numpy as np

    totals = np.array([part.total for part in parts], dtype=float)
    sizes = np.array([part.weight for part in parts], dtype=float)

    def value(weights: NDArray[np.float64]) -> float:
        below = float(weights @ sizes)
        return float(weights @ totals) / below if below else math.nan

    return value
