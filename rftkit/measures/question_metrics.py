"""Figures of questions: by group, CV-Bench's official score, circular accuracy, numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from rftkit.errors import DataError
from rftkit.measures import statistics
from rftkit.measures.rates import SEED, rate
from rftkit.measures.values import Rate, Record

CV_BENCH = ("ADE20K", "COCO", "Omni3D")
WEIGHTS = (0.25, 0.25, 0.5)  # ½ · [(ADE20K + COCO) / 2 + Omni3D]
HUGE = 1e15  # an answer of this size or more, or NaN, is no number anybody counted


class CvBench(Record):
    """CV-Bench. official is None unless all three sources have questions."""

    official: Rate | None = Field(description="half the mean of ADE20K and COCO, half Omni3D")
    micro: Rate = Field(description="every question weighs the same")
    by_source: Mapping[str, Rate]


class NumberMetrics(Record):
    """Of answers that are numbers. The errors are of the valid answers; None if there are none."""

    n: int
    invalid: int = Field(description="no answer, or none that is a number")
    mean_absolute_error: float | None
    root_mean_squared_error: float | None
    bias: float | None = Field(description="mean of answer - gold")
    within_one: Rate = Field(description="share of all n; an invalid answer is not within one")


def grouped(values: Sequence[tuple[str, float]]) -> dict[str, Rate]:
    """(group, score) pairs -> the mean score of each group with its interval, by group name."""
    return {group: rate(scores) for group, scores in _by_name(values).items()}


def cv_bench(values: Sequence[tuple[str, float]]) -> CvBench:
    """The official and the micro score of (source, score) pairs.

    Raises DataError for a source that CV-Bench does not have.

    Source: Tong et al. 2024 (Cambrian-1): 2D is the mean of ADE20K and COCO, 3D is Omni3D.
    """
    by_source = _by_name(values)
    unknown = sorted(set(by_source) - set(CV_BENCH))
    if unknown:
        sources = ", ".join(CV_BENCH)
        raise DataError(f"cv-bench: source {unknown[0]!r} is not one of {sources}; rename it")
    parts = [by_source[name] for name in CV_BENCH if name in by_source]
    return CvBench(
        official=_weighted(parts, WEIGHTS) if len(parts) == len(CV_BENCH) else None,
        micro=rate([score for _, score in values]),
        by_source={name: rate(scores) for name, scores in by_source.items()},
    )


def circular(values: Sequence[tuple[str, float]]) -> Rate:
    """Share of questions answered right in every rotation, from (question id, score) pairs.

    Right is a score of 1. The interval is Wilson's, over questions.
    """
    questions = _by_name(values).values()
    return rate([float(min(scores) >= 1) for scores in questions])


def measure_numbers(pairs: Sequence[tuple[float, float | None]]) -> NumberMetrics:
    """Errors of (gold, answer) pairs; an answer that is None, not finite or HUGE is invalid."""
    errors = [answer - gold for gold, answer in pairs if answer is not None and abs(answer) < HUGE]
    near = sum(abs(error) <= 1 for error in errors)
    return NumberMetrics(
        n=len(pairs),
        invalid=len(pairs) - len(errors),
        mean_absolute_error=fmean(map(abs, errors)) if errors else None,
        root_mean_squared_error=math.hypot(*errors) / math.sqrt(len(errors)) if errors else None,
        bias=fmean(errors) if errors else None,
        within_one=rate([1.0] * near + [0.0] * (len(pairs) - near)),
    )


def _by_name(values: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for name, value in values:
        groups.setdefault(name, []).append(value)
    return dict(sorted(groups.items()))


def _weighted(parts: Sequence[Sequence[float]], weights: Sequence[float]) -> Rate:
    """The weighted sum of the parts' means; its bootstrap draws within each part."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    totals = np.zeros(statistics.RESAMPLES)
    for part, weight in zip(parts, weights, strict=True):
        scores = np.asarray(part, dtype=float)
        totals += weight * np.array(
            [scores[rng.integers(len(scores), size=len(scores))].mean() for _ in totals]
        )
    low, high = np.quantile(totals, [0.025, 0.975])
    return Rate(
        value=sum(w * fmean(part) for part, w in zip(parts, weights, strict=True)),
        low=float(low),
        high=float(high),
        n=sum(map(len, parts)),
    )
