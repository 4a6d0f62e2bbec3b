"""Answers that are kept by their confidence, so that few of those kept are wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rftkit.measures.statistics import Interval, bootstrap, highest_rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 1e-9  # a budget of 0.05 allows 1 wrong of 20, however 0.05 * 20 is rounded


class Confident(NamedTuple):
    """One answer: the probability that was given to it, and whether it was right."""

    confidence: float
    right: bool


class Kept(NamedTuple):
    """What a threshold keeps of n answers: those at least as confident as it; None keeps none."""

    threshold: float | None
    kept: int
    wrong: int
    n: int

    @property
    def coverage(self) -> float:
        """The fraction of all answers that is kept."""
        return self.kept / self.n if self.n else 0.0

    @property
    def error_at_most(self) -> float:
        """Clopper and Pearson's upper bound, one-sided at 95 %, of the error of what is kept.

        A little low where the threshold was chosen on the same answers.
        """
        return highest_rate(self.wrong, self.kept)


def keep_at_error(answers: Sequence[Confident], budget: float) -> Kept:
    """The lowest threshold at which at most the fraction `budget` of what is kept is wrong.

    Answers of one confidence are kept together or not at all.

    >>> pairs = [(0.9, True), (0.8, True), (0.8, False), (0.6, True), (0.5, False)]
    >>> keep_at_error([Confident(*pair) for pair in pairs], 0.25)
    Kept(threshold=0.6, kept=4, wrong=1, n=5)
    """
    ranked = sorted(answers, key=lambda answer: -answer.confidence)
    found, wrong = Kept(None, 0, 0, len(ranked)), 0
    for count, answer in enumerate(ranked, 1):
        wrong += not answer.right
        last_of_ties = count == len(ranked) or ranked[count].confidence < answer.confidence
        if last_of_ties and wrong <= budget * count + ROUNDING:
            found = Kept(answer.confidence, count, wrong, len(ranked))
    return found


def coverage_interval(
    answers: Sequence[Confident], budget: float, seed: int, clusters: Sequence[str] = ()
) -> Interval:
    """The percentile bootstrap's interval of the coverage of `keep_at_error`.

    clusters: one name per answer (the image); those of one cluster are drawn together.
    """
    import numpy as np

    order = np.argsort([-answer.confidence for answer in answers], kind="stable")
    confidence = np.array([answer.confidence for answer in answers])[order]
    wrong = np.array([not answer.right for answer in answers])[order]
    ends = np.append(confidence[1:] < confidence[:-1], True)
    draw = drawn_counts(clusters or [str(number) for number in range(len(answers))])

    def coverage(rng: np.random.Generator) -> float:
        counts = draw(rng)[order]
        kept, errors = np.cumsum(counts)[ends], np.cumsum(counts * wrong)[ends]
        return float(kept[errors <= budget * kept + ROUNDING].max(initial=0) / kept[-1])

    return bootstrap(coverage, seed)


def drawn_counts(clusters: Sequence[str]) -> Callable[[np.random.Generator], NDArray[np.int64]]:
    """A function that draws whole clusters, and says how often that takes each answer."""
    import numpy as np

    names, cluster_of_answer = np.unique(np.asarray(clusters), return_inverse=True)

    def draw(rng: np.random.Generator) -> NDArray[np.int64]:
        drawn = rng.integers(len(names), size=len(names))
        return np.bincount(drawn, minlength=len(names))[cluster_of_answer]

    return draw
