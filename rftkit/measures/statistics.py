"""Intervals and tests for shares measured on a few hundred images.

Every interval is two-sided at 95 % unless told otherwise; shares and differences are fractions,
not points. Nothing here reads a clock or an unseeded generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z95 = 1.959963984540054
VISIBLE = 2.80  # z for a two-sided test at 5 % plus z for a power of 80 %: 1.96 + 0.84
RESAMPLES = 2000
FLIPS = 10_000  # draws of a sign-flip test
NEAR = 1e-9  # a smaller difference is none
FEW_PAIRS = 25  # discordant pairs under which the plain Wald interval is too narrow


class Interval(NamedTuple):
    """Both ends of a confidence interval, low first."""

    low: float
    high: float


class McNemar(NamedTuple):
    """Two-sided p-values of McNemar's test, in [0, 1]."""

    exact: float
    mid: float


class Paired(NamedTuple):
    """A difference of two paired means, its interval, and the name of the interval's method."""

    difference: float
    interval: Interval
    method: str


def wilson(correct: int, n: int) -> Interval:
    """Wilson's score interval of correct / n; (0, 1) if n is 0.

    Source: Wilson 1927. scipy.stats has it too, and takes a second to load, which each `check`
    would wait for.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    rate, spread = correct / n, Z95**2 / n
    centre = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (rate * (1 - rate) + spread / 4)) / (1 + spread)
    low = centre - half if correct else 0.0
    return Interval(low, centre + half if correct < n else 1.0)


def highest_rate(count: int, n: int) -> float:
    """The rate that count / n says is not exceeded, with 95 % confidence; 1 if n is 0.

    The one-sided bound of Clopper and Pearson: 1 - 0.05 ** (1 / n) where the count is 0.
    """
    from scipy.stats import beta

    return 1.0 if count >= n else float(beta.ppf(0.95, count + 1, n - count))


def mcnemar(lost: int, won: int) -> McNemar:
    """Whether `lost` and `won` discordant pairs could be one fair coin's work; 1 if there are none.

    Source: Fagerland, Lydersen and Laake 2013 (the mid-p version keeps its level and has more
    power).
    """
    from scipy.stats import binom

    n, few = lost + won, min(lost, won)
    tail, point = float(binom.cdf(few, n, 0.5)), float(binom.pmf(few, n, 0.5))
    return McNemar(min(1.0, 2 * tail), min(1.0, 2 * tail - point))


def paired_wald(lost: int, won: int, n: int) -> Paired:
    """(won - lost) / n over n pairs, with Wald's interval. n must be positive."""
    difference = (won - lost) / n
    half = Z95 * math.sqrt(lost + won - (won - lost) ** 2 / n) / n
    return Paired(difference, _clipped(difference, half), "paired Wald")


def paired_adjusted(lost: int, won: int, n: int) -> Paired:
    """As `paired_wald` with one pair added to either side, which keeps coverage for few pairs.

    Source: Bonett and Price 2012, recommended by Fagerland, Lydersen and Laake 2014. With no
    discordant pair the interval still has a width.
    """
    m = n + 2
    centre = (won - lost) / m
    half = Z95 * math.sqrt(lost + won + 2 - (won - lost) ** 2 / m) / m
    return Paired((won - lost) / n, _clipped(centre, half), "paired Wald, Bonett-Price")


def paired_interval(lost: int, won: int, n: int) -> Paired:
    """Wald's interval, or Bonett and Price's under FEW_PAIRS discordant pairs."""
    method = paired_wald if lost + won >= FEW_PAIRS else paired_adjusted
    return method(lost, won, n)


def paired_bootstrap(
    base: Sequence[float], tuned: Sequence[float], seed: int, clusters: Sequence[str] | None = None
) -> Paired:
    """Mean of tuned - base with the percentile bootstrap's interval.

    clusters: one name per pair (the image); pairs of one cluster are drawn together.
    """
    import numpy as np

    gaps = np.asarray(tuned, dtype=float) - np.asarray(base, dtype=float)
    names = range(len(gaps)) if clusters is None else clusters
    _, cluster_of_pair = np.unique(np.asarray(names), return_inverse=True)
    totals, sizes = np.bincount(cluster_of_pair, weights=gaps), np.bincount(cluster_of_pair)

    def statistic(rng: np.random.Generator) -> float:
        drawn = rng.integers(len(totals), size=len(totals))
        return float(totals[drawn].sum() / sizes[drawn].sum())

    method = "paired bootstrap" if clusters is None else "paired bootstrap by image"
    return Paired(float(gaps.mean()), bootstrap(statistic, seed), method)


def bootstrap_weights(
    statistic: Callable[[NDArray[np.float64]], float], clusters: Sequence[str], seed: int
) -> Interval:
    """The percentile bootstrap's interval of a statistic of weights, one for each value.

    clusters: one name per value (the image); a draw takes whole clusters, and the weight of a value
    is how often its own was drawn. A draw for which the statistic is NaN is left out; if it is for
    all of them, both ends are NaN.
    """
    import numpy as np

    _, cluster_of_value = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(cluster_of_value.max()) + 1

    def drawn(rng: np.random.Generator) -> float:
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        return statistic(times[cluster_of_value].astype(float))

    rng = np.random.default_rng(seed)
    values = np.array([drawn(rng) for _ in range(RESAMPLES)])
    defined = values[~np.isnan(values)]
    low, high = np.quantile(defined, [0.025, 0.975]) if defined.size else (math.nan, math.nan)
    return Interval(float(low), float(high))


def sign_flips(gaps: Sequence[float], seed: int) -> float:
    """Two-sided p of their mean being 0, if each could as well have the other sign.

    gaps: one for each image. FLIPS seeded draws; so the smallest value is 1 / (FLIPS + 1).
    """
    import numpy as np

    moved = np.asarray([gap for gap in gaps if abs(gap) > NEAR])
    if not moved.size:
        return 1.0
    rng, seen, beyond = np.random.default_rng(seed), abs(float(moved.sum())), 0
    for _ in range(FLIPS // 100):
        signs = rng.integers(0, 2, size=(100, moved.size)) * 2 - 1
        beyond += int((np.abs(signs @ moved) >= seen - NEAR).sum())
    return (1 + beyond) / (1 + FLIPS)


def bootstrap_mean(values: Sequence[float], seed: int) -> Interval:
    """The percentile bootstrap's interval of a mean, for scores that are not just 0 or 1."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    return bootstrap(lambda rng: _drawn_mean(array, rng), seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: reject where one is at most the level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def minimum_detectable_effect(gaps: Sequence[float]) -> float:
    """The mean difference that so many images show at 5 % with a power of 80 %.

    gaps: mean difference of each image, in [-1, 1]. For one pair of 0 or 1 per image this is
    2.80 times the root of (share of pairs that differ / pairs); with no gap at all, the spread
    is not known to be 0 and one image that differs stands in. At most 1: no difference is more.
    """
    squares = math.fsum(gap**2 for gap in gaps) or 1.0
    return min(1.0, VISIBLE * math.sqrt(squares) / len(gaps))


def harmonic(base: float, new: float) -> float:
    """H = 2bn / (b + n), the mean of base-class and new-class accuracy; 0 if either is 0."""
    return 2 * base * new / (base + new) if base > 0 and new > 0 else 0.0


def harmonic_interval(base: Sequence[float], new: Sequence[float], seed: int) -> Interval:
    """The bootstrap interval of H: base and new images are drawn each among themselves."""
    import numpy as np

    halves = np.asarray(base, dtype=float), np.asarray(new, dtype=float)
    return bootstrap(lambda rng: harmonic(*(_drawn_mean(half, rng) for half in halves)), seed)


def _clipped(centre: float, half: float) -> Interval:
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def _drawn_mean(values: NDArray[np.float64], rng: np.random.Generator) -> float:
    return float(values[rng.integers(len(values), size=len(values))].mean())


def bootstrap(statistic: Callable[[np.random.Generator], float], seed: int) -> Interval:
    """The percentile bootstrap's interval of whatever `statistic` works out of one resample."""
    import numpy as np

    rng = np.random.default_rng(seed)
    low, high = np.quantile([statistic(rng) for _ in range(RESAMPLES)], [0.025, 0.975])
    return Interval(float(low), float(high))
