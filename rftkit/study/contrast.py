"""Means over seeds and differences of two sides, with intervals that draw whole images.

The same test image comes once per seed, and may have several questions: what is independent is
the image. So an interval says how far other images would move a result. How far other seeds
would, the values of the single seeds show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from pydantic import AliasChoices, Field

from rftkit.measures import statistics
from rftkit.measures.rates import SEED, binary, rate
from rftkit.measures.statistics import Interval, Paired
from rftkit.measures.values import Record
from rftkit.metrics.samples import Sample
from rftkit.metrics.schema import Verdict

Seeds = Mapping[int, Sequence[Sample]]  # seed -> what one side wrote


class Seeded(Record):
    """The result of one seed."""

    seed: int
    value: float


class Mean(Record):
    """A mean score over all seeds, with its 95 % interval."""

    value: float
    low: float
    high: float
    method: str
    images: int
    seeds: tuple[Seeded, ...]


class Contrast(Record):
    """A mean paired difference over all seeds, with its 95 % interval."""

    value: float
    low: float
    high: float
    method: str
    images: int
    pairs: int = Field(description="examples × seeds")
    lost: int = Field(description="pairs in which the first side scored higher")
    won: int = Field(description="pairs in which the second side scored higher")
    p: float = Field(description="two-sided: McNemar's exact test, or sign flips by image")
    p_holm: float | None = Field(default=None, description="adjusted over the data sets")
    minimum_detectable_effect: float = Field(
        validation_alias=AliasChoices("minimum_detectable_effect", "smallest_visible")
    )
    verdict: Verdict
    seeds: tuple[Seeded, ...]


class Pair(NamedTuple):
    """One example with one seed: the scores of both sides, in [0, 1]."""

    seed: int
    image: str
    before: float
    after: float

    @property
    def gap(self) -> float:
        """after - before."""
        return self.after - self.before


def mean(seeds: Seeds) -> Mean:
    """The mean score; of one seed the interval is that of its run's own report."""
    scores = [sample.correct for samples in seeds.values() for sample in samples]
    names = [sample.image for samples in seeds.values() for sample in samples]
    interval, method = _mean_interval(scores, names)
    return Mean(
        value=fmean(scores) if scores else 0.0,
        low=interval.low,
        high=interval.high,
        method=method,
        images=len({*names}),
        seeds=tuple(
            Seeded(seed=seed, value=fmean(sample.correct for sample in samples))
            for seed, samples in sorted(seeds.items())
            if samples
        ),
    )


def pairs(before: Seeds, after: Seeds) -> list[Pair]:
    """The examples that both sides answered with the same seed."""
    paired = []
    for seed in sorted(set(before) & set(after)):
        other = {sample.id: sample for sample in after[seed]}
        paired += [
            Pair(seed, sample.image, sample.correct, other[sample.id].correct)
            for sample in before[seed]
            if sample.id in other
        ]
    return paired


def contrast(example_pairs: Sequence[Pair]) -> Contrast | None:
    """The difference of the two sides; None without pairs."""
    if not example_pairs:
        return None
    shares = _by_image(example_pairs)
    paired = _paired(example_pairs, shares)
    low, high = paired.interval
    by_seed = {
        seed: [p.gap for p in example_pairs if p.seed == seed]
        for seed in {p.seed for p in example_pairs}
    }
    return Contrast(
        value=paired.difference,
        low=low,
        high=high,
        method=paired.method,
        images=len(shares),
        pairs=len(example_pairs),
        lost=sum(pair.gap < 0 for pair in example_pairs),
        won=sum(pair.gap > 0 for pair in example_pairs),
        p=_p_value(example_pairs, shares),
        minimum_detectable_effect=statistics.minimum_detectable_effect(shares),
        verdict="better" if low > 0 else "worse" if high < 0 else "no difference detected",
        seeds=tuple(Seeded(seed=s, value=fmean(gaps)) for s, gaps in sorted(by_seed.items())),
    )


def with_holm(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The same, each p adjusted for there being so many."""
    adjusted = statistics.holm([one.p for one in contrasts])
    return [
        one.model_copy(update={"p_holm": p}) for one, p in zip(contrasts, adjusted, strict=True)
    ]


def adjusted(shares: Sequence[float]) -> Interval:
    """Bonett and Price's interval of the mean, for shares other than -1, 0 and 1 too.

    One image that moved up and one that moved down are added, so it always has a width.
    """
    m, total = len(shares) + 2, math.fsum(shares)
    squares = math.fsum(share**2 for share in shares) + 2
    half = statistics.Z95 * math.sqrt(squares - total**2 / m) / m
    return Interval(max(-1.0, total / m - half), min(1.0, total / m + half))


def _mean_interval(scores: Sequence[float], names: Sequence[str]) -> tuple[Interval, str]:
    if len({*names}) == len(names):
        own = rate(scores)
        return Interval(own.low, own.high), "Wilson" if binary(scores) else "bootstrap"
    if len({*scores}) == 1 and binary(scores):  # a bootstrap would give it no width
        images = len({*names})
        return statistics.wilson(round(scores[0] * images), images), "Wilson by image"
    drawn = statistics.paired_bootstrap([0.0] * len(scores), scores, SEED, names)
    return drawn.interval, "bootstrap by image"


def _by_image(paired: Sequence[Pair]) -> list[float]:
    """Each image's sum of differences, in units that make their mean that of all pairs."""
    totals: dict[str, float] = {}
    for pair in paired:
        totals[pair.image] = totals.get(pair.image, 0.0) + pair.gap
    each = len(paired) / len(totals)
    return [total / each for total in totals.values()]


def _paired(paired: Sequence[Pair], shares: Sequence[float]) -> Paired:
    before, after = [pair.before for pair in paired], [pair.after for pair in paired]
    if sum(abs(share) > statistics.NEAR for share in shares) < statistics.FEW_PAIRS:
        difference = fmean(pair.gap for pair in paired)
        return Paired(difference, adjusted(shares), "paired Wald by image, Bonett-Price")
    if _one_each(paired, shares):
        lost, won = (sum(pair.gap * sign > 0 for pair in paired) for sign in (-1, 1))
        return statistics.paired_wald(lost, won, len(paired))
    names = [pair.image for pair in paired]
    return statistics.paired_bootstrap(before, after, SEED, names)


def _p_value(paired: Sequence[Pair], shares: Sequence[float]) -> float:
    if not _one_each(paired, shares):
        return statistics.sign_flips(shares, SEED)
    lost, won = (sum(pair.gap * sign > 0 for pair in paired) for sign in (-1, 1))
    return statistics.mcnemar(lost, won).exact


def _one_each(paired: Sequence[Pair], shares: Sequence[float]) -> bool:
    """Whether there is one pair per image, right or wrong on each side."""
    return len(paired) == len(shares) and binary([x for p in paired for x in (p.before, p.after)])
