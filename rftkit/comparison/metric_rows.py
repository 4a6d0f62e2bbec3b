"""Every metric of the subjects, each with its differences from the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from rftkit.comparison import gaps, weighted
from rftkit.comparison.answers import Answers, Common
from rftkit.comparison.gaps import Score, Weighted
from rftkit.comparison.schema import Better, Metric, Value
from rftkit.comparison.task_rows import task_rows
from rftkit.measures.rates import rate
from rftkit.measures.values import Rate
from rftkit.metrics import classes
from rftkit.metrics.lists.calibration import calibration
from rftkit.metrics.samples import Sample
from rftkit.tasks import get_task

Listed = list[list[Sample]]  # of each subject, in one order of examples


def metric_rows(common: Common) -> tuple[Metric, ...]:
    """The headline first; then what stands beside it in a summary, and lengths at the end."""
    listed = [one.of(common.ids) for one in common.answers]
    header = common.answers[0].header
    task = get_task(header.task)
    rows = [_scored("headline", task.metric, listed, lambda sample: sample.correct)]
    rows += _decodings(common.answers, listed)
    if task.predicts_labels:
        rows += _macros(listed)
    rows += _levels(common.answers, listed)
    rows += _halves(listed)
    rows += task_rows(common.answers, listed)
    rows += _conduct(listed)
    rows += _calibrated(common.answers, listed)
    rows += _lengths(listed)
    return tuple(gaps.with_holm(row) for row in rows)


def _scored(
    name: str, title: str, listed: Listed, score: Score, better: Better = "higher"
) -> Metric:
    """A metric that is the mean of each sample's score."""
    images = [sample.image for sample in listed[0]]
    values = [_value(rate([score(s) for s in samples], images)) for samples in listed]
    return Metric(
        name=name,
        title=title,
        better=better,
        values=tuple(values),
        gaps=tuple(gaps.of_scores(listed[0], other, score) for other in listed[1:]),
    )


def _resampled(
    name: str, title: str, listed: Listed, make: Callable[[Sequence[Sample]], Weighted]
) -> Metric:
    """A metric of a whole set, whose differences are resampled by image."""
    import numpy as np

    functions = [make(samples) for samples in listed]
    whole = np.ones(len(listed[0]))
    values = [function(whole) for function in functions]
    return Metric(
        name=name,
        title=title,
        better="higher",
        values=tuple(Value(value=value, n=len(listed[0])) for value in values),
        gaps=tuple(
            gaps.of_statistics(functions[0], function, listed[0], value - values[0])
            for function, value in zip(functions[1:], values[1:], strict=True)
        ),
    )


def _decodings(answers: Sequence[Answers], listed: Listed) -> list[Metric]:
    """Free replies and answers by the list, where all subjects have both."""
    every = list(chain(*listed))
    if any(s.free_correct is None or s.list_correct is None for s in every):
        return []
    by_list = answers[0].header.decode == "choices"
    free = _scored("free_reply", "free reply", listed, lambda s: s.free_correct or 0.0)
    chosen = _scored("by_list", "by the list", listed, lambda s: s.list_correct or 0.0)
    return [free] if by_list else [chosen]


def _macros(listed: Listed) -> list[Metric]:
    return [
        _resampled("macro_accuracy", "macro accuracy", listed, weighted.macro_accuracy),
        _resampled("macro_f1", "macro F1", listed, weighted.macro_f1),
    ]


def _levels(answers: Sequence[Answers], listed: Listed) -> list[Metric]:
    """Coarser classes, those that all subjects group alike."""
    tables = [one.header.levels for one in answers]
    return [
        _scored("level", level, listed, lambda s, p=parents: classes.same_at_level(s, p))  # type: ignore[misc]
        .model_copy(update={"label": level})
        for level, parents in tables[0].items()
        if all(table.get(level) == parents for table in tables)
    ]  # fmt: skip


def _halves(listed: Listed) -> list[Metric]:
    found = [classes.halves(samples) for samples in listed]
    if any(one is None for one in found):
        return []
    rows = []
    for half in ("base", "new"):
        part = [[s for s in samples if s.half == half] for samples in listed]
        rows.append(_scored(f"{half}_classes", f"{half} classes", part, lambda s: s.correct))
    whole = _resampled("harmonic", "H", listed, weighted.harmonic)
    values = tuple(_value(one.harmonic) for one in found if one)
    return [*rows, whole.model_copy(update={"values": values})]


def _conduct(listed: Listed) -> list[Metric]:
    rows = [_scored("invalid", "invalid", listed, lambda s: float(s.invalid), "lower")]
    for flag in ("truncated", "repetition"):
        if any(flag in sample.flags for sample in chain(*listed)):
            rows.append(_scored(flag, flag, listed, lambda s, f=flag: float(f in s.flags), "lower"))  # type: ignore[misc]
    return rows


def _calibrated(answers: Sequence[Answers], listed: Listed) -> list[Metric]:
    """The expected calibration error before any temperature, where all have scores."""
    found = [
        calibration(samples, one.header.temperatures.get(one.side))
        for samples, one in zip(listed, answers, strict=True)
    ]
    errors = [one.before.ece for one in found if one and one.before]
    if len(errors) < len(found):
        return []
    return [
        Metric(
            name="ece",
            title="calibration error",
            better="lower",
            values=tuple(_value(error) for error in errors),
            gaps=tuple(
                gaps.of_interval(error.value - errors[0].value, None, len(listed[0]))
                for error in errors[1:]
            ),
        )
    ]


COUNTS: tuple[tuple[str, str, Callable[[Sample], int]], ...] = (
    ("tokens", "tokens", lambda sample: sample.tokens),
    ("reasoning_tokens", "· reasoning", lambda sample: sample.reasoning_tokens),
    ("answer_tokens", "· answer", lambda sample: sample.answer_tokens),
)


def _lengths(listed: Listed) -> list[Metric]:
    rows = []
    for name, title, count in COUNTS:
        numbers = [[count(sample) for sample in samples] for samples in listed]
        if not any(chain(*numbers)):
            continue
        values = tuple(Value(value=sum(own) / len(own), n=len(own)) for own in numbers)
        differences = tuple(gaps.of_counts(listed[0], other, count) for other in listed[1:])
        rows.append(
            Metric(
                name=name, title=title, unit="tokens", better="", values=values, gaps=differences
            )
        )
    return rows


def _value(found: Rate) -> Value:
    return Value(value=found.value, low=found.low, high=found.high, n=found.n)
