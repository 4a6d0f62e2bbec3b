"""The metrics of a task beside its headline: those of all examples, not of single categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from rftkit.comparison import gaps, weighted
from rftkit.comparison.answers import Answers
from rftkit.comparison.schema import Better, Gap, Metric, Value
from rftkit.core import Attempt
from rftkit.measures.values import Measure
from rftkit.metrics.samples import Sample
from rftkit.metrics.scoring import attempt_of
from rftkit.metrics.task_metrics import task_metrics
from rftkit.report.metric_names import display_name
from rftkit.report.tables import PER_CATEGORY
from rftkit.tasks import get_task
from rftkit.tasks.task import Part, Parts, Task

Key = tuple[str, str]  # name and label of a metric
LOWER_IS_BETTER = {"mae", "rmse", "count_error", "minutes_off"}
NEITHER = {"bias"}
MAP = ("map", "")


class Measured(NamedTuple):
    """What one subject's samples come to. parts: of each sample, in the order of the samples."""

    samples: Sequence[Sample]
    attempts: Sequence[Attempt]
    measures: Mapping[Key, Measure]
    parts: Sequence[Parts]


def task_rows(answers: Sequence[Answers], listed: Sequence[Sequence[Sample]]) -> list[Metric]:
    """A row for each metric that the task reports for the reference."""
    task = get_task(answers[0].header.task)
    measured = [_measured(one, own, task) for one, own in zip(answers, listed, strict=True)]
    keys = [key for key in measured[0].measures if key[0] != PER_CATEGORY]
    return [_row(key, measured, task) for key in keys]


def _measured(one: Answers, samples: Sequence[Sample], task: Task) -> Measured:
    attempts = [attempt_of(sample, one.header) for sample in samples]
    measures = {measure.key: measure for measure in task_metrics(samples, one.header)}
    return Measured(samples, attempts, measures, [task.parts(attempt) for attempt in attempts])


def _row(key: Key, measured: Sequence[Measured], task: Task) -> Metric:
    first = measured[0].measures[key]
    return Metric(
        name=first.name,
        label=first.label,
        title=display_name(first),
        unit="number" if first.unit == "number" else "fraction",
        better=_better(first.name),
        values=tuple(_value(one.measures.get(key)) for one in measured),
        gaps=tuple(_gap(key, measured[0], other, task) for other in measured[1:]),
    )


def _better(name: str) -> Better:
    if name in NEITHER:
        return ""
    return "lower" if name in LOWER_IS_BETTER else "higher"


def _value(found: Measure | None) -> Value:
    if found is None:
        return Value(value=None)
    return Value(value=found.value, low=found.low, high=found.high, n=found.n)


def _gap(key: Key, before: Measured, after: Measured, task: Task) -> Gap | None:
    """The difference, with an interval for ratios of sums and for mAP; None without a value."""
    first, second = (_value(one.measures.get(key)).value for one in (before, after))
    if first is None or second is None:
        return None
    value, n = second - first, len(before.samples)
    if any(key in parts for parts in chain(before.parts, after.parts)):
        functions = [
            weighted.ratio([parts.get(key, Part(0.0, 0.0)) for parts in one.parts])
            for one in (before, after)
        ]
        return gaps.of_statistics(functions[0], functions[1], before.samples, value)
    interval = task.map_difference(before.attempts, after.attempts) if key == MAP else None
    return gaps.of_interval(value, interval, n)
