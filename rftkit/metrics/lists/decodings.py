"""Free replies beside the likeliest answers of a list, and words for what lies between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from rftkit.measures import statistics
from rftkit.measures.rates import SEED, binary, rate
from rftkit.measures.values import Rate
from rftkit.metrics.classes import halves
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.schema import Decodings
from rftkit.metrics.verdict import points


def decodings(samples: Sequence[Sample], header: Header) -> Decodings | None:
    """Accuracy by free replies and by the list; None unless every sample is known by both."""
    if any(s.free_correct is None or s.list_correct is None for s in samples):
        return None
    free = [s.free_correct or 0.0 for s in samples]
    listed = [s.list_correct or 0.0 for s in samples]
    images = [s.image for s in samples]
    by_free, by_list = rate(free, images), rate(listed, images)
    gap = _paired(free, listed, images)
    rescued = [s for s, a, b in zip(samples, free, listed, strict=True) if b > a]
    unlisted = sum(_unlisted(s) for s in rescued) if header.decode == "generate" else None
    rescue = _of_rescued(len(rescued), unlisted)
    return Decodings(
        free=by_free,
        listed=by_list,
        gap=gap.difference,
        low=gap.interval.low,
        high=gap.interval.high,
        only_free=sum(a > b for a, b in zip(free, listed, strict=True)),
        only_listed=len(rescued),
        unlisted=unlisted,
        off_list=fmean(_off_list(s) for s in samples),
        free_halves=halves(_judged(samples, free)),
        list_halves=halves(_judged(samples, listed)),
        words=_words((by_free, by_list), gap, rescue, _chance(samples)),
    )


def _judged(samples: Sequence[Sample], scores: Sequence[float]) -> list[Sample]:
    return [s.model_copy(update={"correct": c}) for s, c in zip(samples, scores, strict=True)]


def _paired(
    free: Sequence[float], listed: Sequence[float], images: Sequence[str]
) -> statistics.Paired:
    """By the list minus freely, on the same images."""
    single = len(set(images)) == len(images)
    if single and binary(free) and binary(listed):
        lost = sum(a > b for a, b in zip(free, listed, strict=True))
        won = sum(b > a for a, b in zip(free, listed, strict=True))
        return statistics.paired_interval(lost, won, len(free))
    return statistics.paired_bootstrap(free, listed, SEED, None if single else images)


def _unlisted(sample: Sample) -> bool:
    """Whether the free reply names no answer of the list."""
    return sample.invalid or sample.answer not in (sample.scores or {})


def _off_list(sample: Sample) -> float:
    """The probability of everything that is no answer of the list, in [0, 1]."""
    scores = (sample.scores or {}).values()
    return min(1.0, max(0.0, 1.0 - sum(math.exp(score) for score in scores)))


def _of_rescued(count: int, unlisted: int | None) -> str:
    if unlisted is None or not count:
        return ""
    return f"; of {count} replies that only the list gets right, {unlisted} are not on the list"


def _chance(samples: Sequence[Sample]) -> float:
    """How often a guess from the list is right; 0 where a list is not known."""
    sizes = [len(sample.scores or {}) for sample in samples]
    return fmean(1 / size for size in sizes) if sizes and all(sizes) else 0.0


def _words(rates: tuple[Rate, Rate], gap: statistics.Paired, rescued: str, chance: float) -> str:
    free, listed = rates
    low, high = (points(end, signed=True) for end in gap.interval)
    sizes = f"{points(listed.value)} % by the list, {points(free.value)} % by free replies"
    apart = f"{points(gap.difference, signed=True)} points, 95 % interval {low} to {high}"
    if gap.interval.low > 0 and listed.low <= chance:
        return f"by the list it only guesses ({points(chance)} % by chance): {sizes} ({apart})"
    if gap.interval.low > 0:
        return f"the model knows more than it writes: {sizes} ({apart}){rescued}"
    if gap.interval.high < 0:
        return f"what it writes is right more often than the likeliest answer: {sizes} ({apart})"
    return f"both ways of answering are right alike: {sizes} ({apart})"
