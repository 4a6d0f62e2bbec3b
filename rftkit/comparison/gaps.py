"""Differences of two subjects on the same examples: how large, how sure.

Scores of single examples go the way of base and fine-tuned model in `metrics.verdict`: the same
intervals and the same test. Metrics of a whole set are resampled by image, both subjects by the
same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rftkit.comparison.schema import Direction, Gap, Metric
from rftkit.measures import statistics
from rftkit.measures.rates import SEED, binary
from rftkit.metrics.samples import Sample
from rftkit.metrics.verdict import difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Score = Callable[[Sample], float]
Samples = Sequence[Sample]
Weighted = Callable[["NDArray[np.float64]"], float]  # weights of samples -> a metric of them

EXACT, FLIPS = "McNemar, exact", "sign flips by image"


def of_scores(before: Samples, after: Samples, score: Score) -> Gap:
    """The difference of a mean score in [0, 1]; samples of one example are at the same place."""
    first, second = _judged(before, score), _judged(after, score)
    found = difference(first, second)
    assert found is not None
    p, test = found.mcnemar_exact, EXACT
    if p is None:
        p, test = statistics.sign_flips(_by_image(first, second), SEED), FLIPS
    return Gap(
        value=found.value,
        low=found.low,
        high=found.high,
        method=found.method,
        pairs=found.pairs,
        higher=found.won,
        lower=found.lost,
        p=p,
        p_test=test,
        p_mid=found.mcnemar_mid,
        minimum_detectable_effect=found.minimum_detectable_effect,
        verdict=direction(found.low, found.high),
    )


def of_counts(before: Samples, after: Samples, count: Callable[[Sample], int]) -> Gap:
    """The difference of a mean number, such as tokens, without a test."""
    ours, theirs = [float(count(s)) for s in before], [float(count(s)) for s in after]
    images = [sample.image for sample in before]
    clusters = images if len({*images}) < len(images) else None
    paired = statistics.paired_bootstrap(ours, theirs, SEED, clusters)
    low, high = paired.interval
    return Gap(
        value=paired.difference,
        low=low,
        high=high,
        method=paired.method,
        pairs=len(before),
        higher=sum(b > a for a, b in zip(ours, theirs, strict=True)),
        lower=sum(b < a for a, b in zip(ours, theirs, strict=True)),
        verdict=direction(low, high),
    )


def of_statistics(before: Weighted, after: Weighted, samples: Samples, value: float) -> Gap:
    """The difference of a metric of the whole set. value: as it is without weights.

    samples: of either subject, for their images. An interval that no draw defines is left out.
    """
    interval = statistics.bootstrap_weights(
        lambda weights: after(weights) - before(weights), [s.image for s in samples], SEED
    )
    return of_interval(value, None if math.isnan(interval.low) else interval, len(samples))


def of_interval(value: float, interval: statistics.Interval | None, pairs: int) -> Gap:
    """A difference whose interval, if there is one, comes from a bootstrap by image."""
    return Gap(
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method="paired bootstrap by image" if interval else "",
        pairs=pairs,
        verdict=direction(*interval) if interval else None,
    )


def of_class(before: Samples, after: Samples) -> statistics.Paired:
    """The difference of the headline on one class: its interval as the headline has it."""
    ours, theirs = [s.correct for s in before], [s.correct for s in after]
    images = [sample.image for sample in before]
    single = len({*images}) == len(images)
    if single and binary([*ours, *theirs]):
        lost = sum(a > b for a, b in zip(ours, theirs, strict=True))
        won = sum(b > a for a, b in zip(ours, theirs, strict=True))
        return statistics.paired_interval(lost, won, len(ours))
    return statistics.paired_bootstrap(ours, theirs, SEED, None if single else images)


def with_holm(metric: Metric) -> Metric:
    """The metric, its p-values adjusted by Holm for there being several subjects."""
    tested = [gap for gap in metric.gaps if gap and gap.p is not None]
    if len(tested) < 2:
        return metric
    adjusted = iter(statistics.holm([gap.p for gap in tested if gap.p is not None]))
    gaps = tuple(
        gap.model_copy(update={"p_holm": next(adjusted)}) if gap and gap.p is not None else gap
        for gap in metric.gaps
    )
    return metric.model_copy(update={"gaps": gaps})


def direction(low: float, high: float) -> Direction:
    """What an interval of a difference allows to say."""
    return "higher" if low > 0 else "lower" if high < 0 else "no difference detected"


def _judged(samples: Samples, score: Score) -> list[Sample]:
    return [sample.model_copy(update={"correct": score(sample)}) for sample in samples]


def _by_image(before: Samples, after: Samples) -> list[float]:
    """The sum of each image's differences."""
    totals: dict[str, float] = {}
    for one, other in zip(before, after, strict=True):
        totals[one.image] = totals.get(one.image, 0.0) + other.correct - one.correct
    return list(totals.values())
