"""How far the probabilities of a list's answers can be believed, and the temperature that helps.

All of it is about the answer by list, the label with the highest score; what the model writes
freely has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rftkit.measures import statistics
from rftkit.measures.rates import SEED, rate
from rftkit.measures.selective import Confident, coverage_interval, drawn_counts, keep_at_error
from rftkit.measures.values import Rate
from rftkit.metrics.samples import Sample
from rftkit.metrics.schema import Calibration, Coverage, Reliability, ReliabilityBin

if TYPE_CHECKING:
    import numpy as np

BINS = 10  # of equal width, over the top probability
BUDGETS = (0.05, 0.1)  # errors among the answers that are kept
LOWEST, HIGHEST = 1 / 20, 20.0  # temperatures
HALVINGS = 60  # of the range of temperatures
FEW = 100  # answers below which intervals are wide enough to say so


class LabelScores(NamedTuple):
    """The log-probability of each label of a list for one question, and the right label.

    image: where one image has several questions, its name.
    """

    scores: Mapping[str, float]
    gold: str
    image: str = ""

    @property
    def right(self) -> bool:
        """Whether the likeliest label is the right one."""
        return likeliest(self.scores) == self.gold

    def confident(self, temperature: float = 1.0) -> Confident:
        """The probability of the likeliest label at a temperature, and whether it is right."""
        top = max(probabilities(self.scores, temperature).values())
        return Confident(top, self.right)


def likeliest(scores: Mapping[str, float]) -> str:
    """The label with the highest score; the first one where two tie."""
    return max(scores, key=lambda label: scores[label])


def probabilities(scores: Mapping[str, float], temperature: float = 1.0) -> dict[str, float]:
    """Softmax over log-probabilities divided by the temperature.

    >>> probabilities({"cat": 0.0, "dog": 0.0})
    {'cat': 0.5, 'dog': 0.5}
    """
    highest = max(scores.values())
    raised = {label: math.exp((score - highest) / temperature) for label, score in scores.items()}
    total = sum(raised.values())
    return {label: value / total for label, value in raised.items()}


def fit_temperature(answers: Sequence[LabelScores]) -> float:
    """The temperature with the least negative log-likelihood of gold, within [1/20, 20].

    One mistake is added, spread over all answers: as if each were 1/n times the next likeliest
    label's. Without it a few answers that are all right would ask for certainty; so n that are all
    right come out at about n / (n + 1). Answers whose gold is not on their list tell nothing and
    are left out; without any the temperature is 1.

    Source: Guo et al. 2017; the added mistake in the manner of Platt 1999. The loss is convex in
    1 / temperature, so its slope is bisected.
    """
    import numpy as np

    rows = [one for one in answers if one.gold in one.scores and len(one.scores) > 1]
    if not rows:
        return 1.0
    parts = [(np.array([*row.scores.values()]), _target(row, len(rows))) for row in rows]

    def slope(inverse: float) -> float:
        return sum(_expected(scores, inverse) - target for scores, target in parts)

    low, high = math.log(1 / HIGHEST), math.log(1 / LOWEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def few_words(n: int) -> str:
    """A sentence where so few answers say little; "" where they are enough."""
    return f"Only {n} answers: read the intervals, not the values." if n < FEW else ""


def calibration(samples: Sequence[Sample], temperature: float | None = None) -> Calibration | None:
    """Calibration of the samples that have scores, before and after a temperature.

    temperature: None where none was fitted. None is returned where no sample has scores.
    """
    answers = [LabelScores(s.scores, s.gold, s.image) for s in samples if s.scores]
    if not answers:
        return None
    before = reliability(answers)
    return Calibration(
        ece=before.ece.value,
        mean_gold=fmean(probabilities(one.scores).get(one.gold, 0.0) for one in answers),
        accuracy=rate([float(one.right) for one in answers], [one.image for one in answers]),
        temperature=temperature,
        before=before,
        after=None if temperature is None else reliability(answers, temperature),
        note=few_words(len(answers)),
    )


def reliability(answers: Sequence[LabelScores], temperature: float = 1.0) -> Reliability:
    """ECE, Brier score, reliability bins and coverage at this temperature. answers: not empty.

    Source: Naeini et al. 2015 (ECE), Brier 1950.
    """
    pairs = [one.confident(temperature) for one in answers]
    images = [one.image or str(number) for number, one in enumerate(answers)]
    return Reliability(
        ece=_ece(pairs, images),
        brier=fmean(_brier(one, temperature) for one in answers),
        bins=_bins(pairs),
        coverage=tuple(_coverage(pairs, images, budget) for budget in BUDGETS),
    )


def _target(row: LabelScores, n: int) -> float:
    """The score that the slope compares with: of gold, and 1/n times of the best other label."""
    other = max(score for label, score in row.scores.items() if label != row.gold)
    return (row.scores[row.gold] + other / n) / (1 + 1 / n)


def _expected(scores: np.ndarray, inverse: float) -> float:
    """The mean score under the softmax at 1 / temperature."""
    import numpy as np

    weights = np.exp((scores - scores.max()) * inverse)
    return float((weights * scores).sum() / weights.sum())


def _bin(confidence: float) -> int:
    return min(BINS - 1, int(confidence * BINS))


def _ece(pairs: Sequence[Confident], images: Sequence[str]) -> Rate:
    """The expected calibration error, its interval by bootstrap over images.

    A resample is rougher than the answers themselves, so that its low end can pass them: it is
    held to the value.
    """
    import numpy as np

    bins = np.array([_bin(pair.confidence) for pair in pairs])
    gaps = np.array([pair.right - pair.confidence for pair in pairs])
    draw = drawn_counts(images)

    def error(counts: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins, counts * gaps)).sum() / counts.sum())

    value = error(np.ones(len(pairs)))
    low, high = statistics.bootstrap(lambda rng: error(draw(rng)), SEED)
    return Rate(value=value, low=min(low, value), high=max(high, value), n=len(pairs))


def _brier(one: LabelScores, temperature: float) -> float:
    """The sum over labels of (probability - whether it is gold) squared, in [0, 2]."""
    chances = probabilities(one.scores, temperature)
    missed = 0.0 if one.gold in chances else 1.0
    return missed + sum((chance - (label == one.gold)) ** 2 for label, chance in chances.items())


def _bins(pairs: Sequence[Confident]) -> tuple[ReliabilityBin, ...]:
    members = [
        [pair for pair in pairs if _bin(pair.confidence) == number] for number in range(BINS)
    ]
    return tuple(
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            n=len(own),
            confidence=fmean(pair.confidence for pair in own) if own else None,
            accuracy=rate([float(pair.right) for pair in own]) if own else None,
        )
        for number, own in enumerate(members)
    )


def _coverage(pairs: Sequence[Confident], images: Sequence[str], budget: float) -> Coverage:
    kept = keep_at_error(pairs, budget)
    low, high = coverage_interval(pairs, budget, SEED, images)
    return Coverage(
        budget=budget,
        coverage=Rate(value=kept.coverage, low=low, high=high, n=kept.n),
        threshold=kept.threshold,
        kept=kept.kept,
        wrong=kept.wrong,
        error_at_most=kept.error_at_most,
    )
