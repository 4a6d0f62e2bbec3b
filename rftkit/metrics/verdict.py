"""Base against tuned: the paired difference, and words that its interval allows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rftkit.measures import statistics
from rftkit.measures.rates import SEED, binary
from rftkit.metrics.samples import Sample
from rftkit.metrics.schema import Difference, Summary, Verdict


def difference(base: Sequence[Sample], tuned: Sequence[Sample]) -> Difference | None:
    """Fine-tuned minus base over the ids on both sides; None if there are none.

    The interval is Wald's for scores of 0 or 1, one question per image; else the bootstrap's.
    """
    other = {sample.id: sample for sample in tuned}
    pairs = [(sample, other[sample.id]) for sample in base if sample.id in other]
    if not pairs:
        return None
    before, after = [b.correct for b, _ in pairs], [t.correct for _, t in pairs]
    images = [b.image for b, _ in pairs]
    lost = sum(b > t for b, t in zip(before, after, strict=True))
    won = sum(t > b for b, t in zip(before, after, strict=True))
    single = len(set(images)) == len(images)
    drawn = statistics.paired_bootstrap(before, after, SEED, None if single else images)
    zero_one = binary(before) and binary(after)
    chosen = statistics.paired_interval(lost, won, len(pairs)) if zero_one and single else drawn
    test = statistics.mcnemar(lost, won) if zero_one and single else None
    visible = statistics.minimum_detectable_effect(_gaps_by_image(pairs))
    verdict = _verdict(chosen.interval)
    return Difference(
        value=chosen.difference,
        low=chosen.interval.low,
        high=chosen.interval.high,
        method=chosen.method,
        pairs=len(pairs),
        lost=lost,
        won=won,
        mcnemar_exact=test.exact if test else None,
        mcnemar_mid=test.mid if test else None,
        bootstrap_low=drawn.interval.low,
        bootstrap_high=drawn.interval.high,
        minimum_detectable_effect=visible,
        verdict=verdict,
        words=_words(verdict, chosen, visible),
    )


def broken_gates(
    summary: Summary, fail_if_worse: float | None = None, max_invalid: float | None = None
) -> list[str]:
    """What a script should fail on, in words; empty if every gate holds.

    fail_if_worse: how far the headline may fall from base to fine-tuned. max_invalid:
    the allowed share of invalid replies, of tuned if it was evaluated, else of base.
    """
    broken: list[str] = []
    if fail_if_worse is not None:
        if summary.difference is None:
            broken.append("--fail-if-worse: base and fine-tuned model were not both evaluated")
        elif summary.difference.value < -fail_if_worse:
            fall = points(-summary.difference.value)
            broken.append(
                f"{summary.metric} fell by {fall} points; {points(fail_if_worse)} allowed"
            )
    side = summary.tuned or summary.base
    if max_invalid is not None and side and side.invalid.value > max_invalid:
        share = points(side.invalid.value)
        broken.append(f"{share} % of the replies are invalid; {points(max_invalid)} % allowed")
    return broken


def points(value: float, signed: bool = False) -> str:
    """A fraction in points or per cent, one decimal, with a true minus sign.

    >>> points(0.2354, signed=True), points(-0.0004)
    ('+23.5', '0.0')
    """
    text = f"{100 * value:.1f}"
    if text in ("0.0", "-0.0"):
        return "0.0"
    return ("+" if signed and value > 0 else "") + text.replace("-", "−")


def _gaps_by_image(pairs: Sequence[tuple[Sample, Sample]]) -> list[float]:
    """Fine-tuned minus base of each image, the mean over its questions."""
    gaps: dict[str, list[float]] = {}
    for before, after in pairs:
        gaps.setdefault(before.image, []).append(after.correct - before.correct)
    return [fmean(image_gaps) for image_gaps in gaps.values()]


def _verdict(interval: statistics.Interval) -> Verdict:
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "no difference detected"


def _words(verdict: Verdict, paired: statistics.Paired, visible: float) -> str:
    low, high = (points(end, signed=True) for end in paired.interval)
    text = f"{points(paired.difference, signed=True)} points, 95 % interval {low} to {high}"
    if verdict == "no difference detected":
        effect = f"minimum detectable effect at 80 % power: {points(visible)} points"
        return f"no significant difference ({effect}): {text}"
    return f"the fine-tuned model is {verdict}: {text}"
