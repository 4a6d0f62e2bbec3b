"""Whether thinking helps, in words that follow from the intervals and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.metrics.verdict import points
from rftkit.study.contrast import Contrast
from rftkit.study.schema import Setting, Versus

LEVEL = 0.05
SUBJECTS = {
    "think": "thinking",
    "answer-first": "answering first and then giving a reason",
    "adaptive": "deciding whether to think",
}


def answer(comparisons: Sequence[Versus]) -> tuple[str, ...]:
    """One line over all settings for `think`, then one for each; nothing if it was not compared."""
    thinking = [one for one in comparisons if one.style == "think"]
    if not thinking:
        return ()
    lines = tuple(one.words for one in thinking)
    return lines if len(thinking) == 1 else (_overall(thinking), *lines)


def versus(one: Versus, tests: int) -> str:
    """A style against `direct` in one setting. tests: how many are corrected for."""
    text = f"{_verdict(one)}: {numbers(one.contrast)}"
    return _sentence([text + _caution(one.contrast, tests), _cost(one)])


def numbers(contrast: Contrast) -> str:
    """The difference with its interval."""
    low, high = points(contrast.low, signed=True), points(contrast.high, signed=True)
    return f"{points(contrast.value, signed=True)} points (95 % interval {low} to {high})"


def location(setting: Setting) -> str:
    """A setting as it is called in a sentence."""
    return f"{setting.dataset} ({setting.method}, {shots(setting.shots)})"


def shots(count: int) -> str:
    """Training images per class, in words."""
    return f"{count} shots" if count > 1 else "1 shot" if count else "all images"


def _verdict(one: Versus) -> str:
    subject, where = SUBJECTS[one.style], location(one.setting)
    if one.contrast.verdict == "better":
        return f"{subject} helps on {where}"
    if one.contrast.verdict == "worse":
        return f"{subject} hurts on {where}"
    visible = points(one.contrast.minimum_detectable_effect)
    both = f"between {one.style} and direct on {where}"
    return f"no significant difference {both} (minimum detectable effect {visible} points)"


def _caution(contrast: Contrast, tests: int) -> str:
    """What takes the edge off a verdict: several data sets, seeds that disagree."""
    warnings = []
    clear = contrast.verdict != "no difference detected"
    if clear and tests > 1 and contrast.p_holm is not None and contrast.p_holm > LEVEL:
        warnings.append(f"not significant among {tests} comparisons, Holm p {contrast.p_holm:.2f}")
    signs = {one.value > 0 for one in contrast.seeds if one.value}
    if clear and len(signs) > 1:
        warnings.append("single seeds point both ways")
    return f" [{'; '.join(warnings)}]" if warnings else ""


def _cost(one: Versus) -> str:
    parts = []
    if one.times_tokens is not None:
        parts.append(f"{one.times_tokens:.1f} times the tokens per reply")
    if one.times_minutes is not None:
        parts.append(f"{one.times_minutes:.1f} times the minutes of training")
    return f"it takes {' and '.join(parts)}" if parts else ""


def _overall(comparisons: Sequence[Versus]) -> str:
    counts = dict.fromkeys(("better", "worse", "no difference detected"), 0)
    for one in comparisons:
        counts[one.contrast.verdict] += 1
    better, worse, neither = counts.values()
    return (
        f"Of {len(comparisons)} comparisons, thinking helps in {better}, hurts in {worse}, "
        f"and in {neither} no significant difference was found."
    )


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + "."
