"""Means with intervals, and spreads of lengths."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from rftkit.measures import statistics
from rftkit.measures.values import Rate, Share, Spread

SEED = 0  # of every bootstrap, so that rescoring gives the same bytes


def binary(values: Sequence[float]) -> bool:
    """Whether every score is 0 or 1."""
    return all(value in (0.0, 1.0) for value in values)


def rate(values: Sequence[float], images: Sequence[str] = ()) -> Rate:
    """The mean of scores in [0, 1] with its interval; 0 within (0, 1) if there are none.

    images: that of each score; where one has several, the interval draws whole images.
    """
    different = len(set(images))
    if different < len(images) and binary(values) and len(set(values)) == 1:
        # a bootstrap would give it no width
        low, high = statistics.wilson(round(values[0] * different), different)
    elif different < len(images):
        drawn = statistics.paired_bootstrap([0.0] * len(values), values, SEED, images)
        low, high = drawn.interval
    elif binary(values):
        low, high = statistics.wilson(round(sum(values)), len(values))
    else:
        low, high = statistics.bootstrap_mean(values, SEED)
    return Rate(value=fmean(values) if values else 0.0, low=low, high=high, n=len(values))


def share(values: Sequence[float], total: int) -> Share:
    """How many of `total` these scores are, and their mean."""
    part = len(values) / total if total else 0.0
    return Share(n=len(values), fraction=part, accuracy=fmean(values) if values else None)


def spread(tokens: Sequence[int]) -> Spread:
    """Mean, median and 95th percentile by nearest rank. tokens must not be empty."""
    rank = -(-95 * len(tokens) // 100) - 1
    return Spread(mean=fmean(tokens), median=median(tokens), p95=sorted(tokens)[rank])
