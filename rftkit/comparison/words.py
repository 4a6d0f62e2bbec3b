"""What a comparison allows to say, in sentences and in cells of tables."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.comparison.schema import Cost, Gap, Metric, Subject, Value
from rftkit.metrics.verdict import points

NONE = "–"
LEVEL = 0.05


def sentences(headline: Metric, subjects: Sequence[Subject]) -> tuple[str, ...]:
    """The headline's difference of each subject from the reference, and what it says."""
    return tuple(
        _sentence(headline, place, subjects, gap)
        for place, gap in enumerate(headline.gaps, start=1)
        if gap
    )


def _sentence(headline: Metric, place: int, subjects: Sequence[Subject], gap: Gap) -> str:
    name = headline.title[:1].upper() + headline.title[1:]
    first, other = subjects[0].letter, subjects[place].letter
    before, after = (value(headline.values[at], headline) for at in (0, place))
    return (
        f"{name} of {other} against {first}: {before} → {after}, {in_words(gap, headline)}, "
        f"{p_words(gap)}: {_verdict(gap, other)}."
    )


def _verdict(gap: Gap, letter: str) -> str:
    if gap.verdict == "no difference detected":
        effect = points(gap.minimum_detectable_effect or 0.0)
        return (
            f"no significant difference (minimum detectable effect at 80 % power: {effect} points)"
        )
    words = f"{letter} is {'better' if gap.verdict == 'higher' else 'worse'}"
    lost = gap.p_holm is not None and gap.p_holm > LEVEL
    return f"{words}, but not after Holm's correction" if lost else words


def in_words(gap: Gap, metric: Metric) -> str:
    """A difference with its interval, such as "+3.0 points, 95 % interval +1.0 to +5.0"."""
    unit = {"fraction": " points", "tokens": " tokens", "number": ""}[metric.unit]
    text = f"{amount(gap.value, metric, signed=True)}{unit}"
    return f"{text}, 95 % interval {ends(gap, metric)}" if gap.low is not None else text


def p_words(gap: Gap) -> str:
    """p with its test, and Holm's beside it: "p 0.012 (McNemar, exact), by Holm 0.024"."""
    if gap.p is None:
        return "no test"
    text = f"p {p_value(gap.p)} ({gap.p_test})"
    return f"{text}, by Holm {p_value(gap.p_holm)}" if gap.p_holm is not None else text


def p_value(p: float) -> str:
    """p with three decimals.

    >>> p_value(0.0004), p_value(0.5)
    ('< 0.001', '0.500')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def value(found: Value, metric: Metric) -> str:
    """A value with its unit: per cent of fractions, else a number."""
    if found.value is None:
        return NONE
    text = amount(found.value, metric)
    return f"{text} %" if metric.unit == "fraction" else text


def amount(number: float, metric: Metric, signed: bool = False) -> str:
    """A number as its metric is written: points with one decimal, tokens with one, others two."""
    if metric.unit == "fraction":
        return points(number, signed)
    digits = 1 if metric.unit == "tokens" else 2
    text = f"{number:.{digits}f}"
    if not float(text):
        return text.removeprefix("-")
    return ("+" if signed and number > 0 else "") + text.replace("-", "−")


def ends(found: Gap | Value, metric: Metric) -> str:
    """Both ends of an interval; "" where there is none."""
    if found.low is None or found.high is None:
        return ""
    if isinstance(found, Value):
        return f"{amount(found.low, metric)}–{amount(found.high, metric)}"
    low, high = (amount(end, metric, signed=True) for end in (found.low, found.high))
    return f"{low} to {high}"


def tone(gap: Gap | None, metric: Metric) -> str:
    """The class of a cell: "right" or "wrong" where the interval says so, else ""."""
    if gap is None or metric.better == "" or gap.verdict in (None, "no difference detected"):
        return ""
    return "right" if gap.verdict == metric.better else "wrong"


def cost_rows(costs: Sequence[Cost]) -> list[tuple[str, tuple[str, ...]]]:
    """What was taken, a row each with a cell for every subject; rows that nobody has go."""
    rows = [
        ("seconds a reply", [_number(c.seconds_per_reply, 3) for c in costs]),
        ("tokens / s", [_number(c.tokens_per_second, 1) for c in costs]),
        ("peak memory", [_bytes(c.peak_memory_bytes) for c in costs]),
        ("batch size", [", ".join(map(str, c.batch_sizes)) for c in costs]),
        ("training steps", [_number(c.train_steps, 0) for c in costs]),
        ("training seconds", [_number(c.train_seconds, 0) for c in costs]),
        ("tokens in training", [_number(c.train_tokens, 0) for c in costs]),
    ]
    return [(name, tuple(c or NONE for c in cells)) for name, cells in rows if any(cells)]


def _number(number: float | None, digits: int) -> str:
    return "" if number is None else f"{number:,.{digits}f}"


def _bytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**30:.2f} GiB"
