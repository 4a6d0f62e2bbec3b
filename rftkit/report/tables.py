"""Tables of what a task measures beside its headline: its metrics, and every category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rftkit.measures.values import Measure, Rate
from rftkit.metrics import Summary
from rftkit.metrics.samples import MemoryOf
from rftkit.metrics.schema import SideSummary, display_model
from rftkit.metrics.verdict import points
from rftkit.report.metric_names import display_name
from rftkit.tasks import get_task

PER_CATEGORY = "ap"  # the metric whose labels are the categories of an evaluation
NONE = "–"
PEAK_OF: dict[MemoryOf, str] = {
    "gpu": "of the GPU while a model answered",
    "process": "of the process while a model answered",
    "": "of the whole command until then, loading and training included",
}

Sides = Sequence[tuple[str, SideSummary]]


class Cell(NamedTuple):
    """A metric in words; `interval` is empty where there is none."""

    text: str
    interval: str = ""


class MetricRow(NamedTuple):
    """One metric, a cell for each model. note: how it was measured, of the last model."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    note: str


class Bar(NamedTuple):
    """A share of one side; value is None where it is not defined."""

    side: str
    value: float | None
    title: str


class KindRow(NamedTuple):
    """One category. bars: of `Kinds.metric`; others: of `Kinds.other`, empty without one."""

    name: str
    n: int | None
    bars: tuple[Bar, ...]
    others: tuple[str, ...]


class Kinds(NamedTuple):
    """Figures by category. metric: of the bars; other: of a second column, "" without one."""

    metric: str
    other: str
    rows: tuple[KindRow, ...]

    @property
    def counted(self) -> bool:
        """Whether it is known how many prompts a category has."""
        return any(row.n is not None for row in self.rows)


def metric_rows(sides: Sides) -> tuple[MetricRow, ...]:
    """The task's metrics in their own order, without those of single categories."""
    measures = {m.key: m for _, side in sides for m in side.metrics if m.name != PER_CATEGORY}
    return tuple(
        MetricRow(
            name=name,
            title=display_name(measure),
            cells=tuple(_cell(side.measure(name, label)) for _, side in sides),
            note=_note(name, label, sides),
        )
        for (name, label), measure in measures.items()
    )


def kinds(summary: Summary, sides: Sides) -> Kinds | None:
    """By category: AP where boxes are listed, else the headline; None where there is but one."""
    precise = [m.label for _, side in sides for m in side.metrics if m.name == PER_CATEGORY]
    own = [name for _, side in sides for name in side.groups]
    names = sorted({*precise, *own})
    if len(names) < 2:
        return None
    other = summary.metric if precise and own else ""
    return Kinds(
        metric="AP" if precise else summary.metric,
        other=other,
        rows=tuple(_kind(name, summary, sides, bool(precise), bool(other)) for name in names),
    )


def in_words(metric: Measure | Rate) -> str:
    """A share in per cent, a number with two decimals, "–" where it is not defined.

    >>> in_words(Measure(name="map", value=0.5))
    '50.0 %'
    >>> in_words(Measure(name="mae", value=1.25, unit="number"))
    '1.25'
    """
    if metric.value is None:
        return NONE
    if isinstance(metric, Measure) and metric.unit == "number":
        return f"{metric.value:.2f}".replace("-", "−")
    return f"{points(metric.value)} %"


def interval(metric: Measure | Rate) -> str:
    """Both ends in per cent; empty where there are none."""
    if metric.low is None or metric.high is None:
        return ""
    return f"{points(metric.low)}–{points(metric.high)}"


def peak_words(sides: Sides) -> str:
    """What the peak of memory is of, as a sentence; "" where none was measured."""
    by_scope: dict[str, list[str]] = {}
    for name, side in sides:
        if side.speed and side.speed.peak_memory_bytes is not None:
            by_scope.setdefault(PEAK_OF[side.speed.peak_memory_of], []).append(display_model(name))
    several = len(by_scope) > 1
    parts = [f"{of} ({', '.join(names)})" if several else of for of, names in by_scope.items()]
    return f"Peak memory {'; '.join(parts)}." if parts else ""


def _kind(name: str, summary: Summary, sides: Sides, precise: bool, other: bool) -> KindRow:
    groups = [side.groups.get(name) for _, side in sides]
    last = groups[-1]
    bars = [
        _bar(
            side,
            here.measure(PER_CATEGORY, name) if precise else group,
            get_task(summary.task).words.unit,
        )
        for (side, here), group in zip(sides, groups, strict=True)
    ]
    others = [in_words(group) if group else NONE for group in groups] if other else []
    return KindRow(name, last.n if last else None, tuple(bars), tuple(others))


def _bar(side: str, metric: Measure | Rate | None, unit: str) -> Bar:
    if metric is None or metric.value is None:
        return Bar(side, None, f"{display_model(side)}: not defined")
    ends, name = interval(metric), display_model(side)
    of = f", {metric.n} {unit}" if metric.n else ""
    return Bar(side, metric.value, f"{name}{of}" + (f", 95 % interval {ends} %" if ends else ""))


def _cell(metric: Measure | None) -> Cell:
    return Cell(in_words(metric), interval(metric)) if metric else Cell("")


def _note(name: str, label: str, sides: Sides) -> str:
    measure = sides[-1][1].measure(name, label)
    return measure.note if measure else ""
