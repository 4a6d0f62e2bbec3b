"""The page of a study, self-contained and without script; and its summary as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from rftkit.measures.values import Rate
from rftkit.messages import one_line
from rftkit.metrics.verdict import points
from rftkit.report import page as report
from rftkit.report.metric_names import display_name
from rftkit.study import words
from rftkit.study.chart import tokens_and_score
from rftkit.study.contrast import Mean
from rftkit.study.schema import Crossed, Row, Setting, StudySummary

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "study.html.j2"


class Matrix(NamedTuple):
    """One free-lunch matrix. rows: trained on -> a cell per data set tested on, or None."""

    title: str
    datasets: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Crossed | None, ...]], ...]


def render(summary: StudySummary, study_toml: str) -> str:
    """The page as text."""
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            study=summary,
            study_toml=study_toml,
            tables=tables(summary.rows),
            matrices=matrices(summary.crossed),
            chart=tokens_and_score(summary.rows) if summary.rows else "",
        )
    )


def tables(rows: Sequence[Row]) -> list[tuple[str, list[tuple[Setting, list[Row]]]]]:
    """Data set -> its settings -> the rows of each, a style each."""
    by_data_set: dict[str, dict[tuple[str, int], list[Row]]] = {}
    for row in rows:
        setting = (row.setting.method, row.setting.shots)
        by_data_set.setdefault(row.setting.dataset, {}).setdefault(setting, []).append(row)
    return [
        (dataset, [(group[0].setting, group) for group in settings.values()])
        for dataset, settings in by_data_set.items()
    ]


def matrices(crossed: Sequence[Crossed]) -> list[Matrix]:
    """A matrix per style, method and shots; data sets in the order of the study."""
    keys = dict.fromkeys((c.style, c.method, c.shots) for c in crossed)
    return [
        _matrix(key, [c for c in crossed if (c.style, c.method, c.shots) == key]) for key in keys
    ]


def to_markdown(summary: StudySummary) -> str:
    """The answer and a table per data set, as Markdown; no name in it steers a terminal."""
    answer = [f"- {one_line(line)}" for line in summary.answer]
    parts = [f"# {one_line(summary.name)}", _state(summary), *answer]
    for dataset, settings in tables(summary.rows):
        parts.append(f"\n## {one_line(dataset)}\n")
        heads = "style | method | shots | base | fine-tuned | by the list | gain | tokens | minutes"
        parts.append(f"| {heads} |")
        parts.append("|---|---|---|--:|--:|--:|--:|--:|--:|")
        parts += [_line(row) for _, rows in settings for row in rows]
    parts += [f"- failed: {one_line(f'{one.cell}: {one.error}')}" for one in summary.failures]
    return "\n".join(parts) + "\n"


def _matrix(key: tuple[str, str | None, int | None], crossed: Sequence[Crossed]) -> Matrix:
    style, method, shots = key
    by_pair = {(c.trained_on, c.tested_on): c for c in crossed}
    names = tuple(dict.fromkeys(c.trained_on for c in crossed))
    parts = [style, method or "", "" if shots is None else words.shots(shots)]
    rows = tuple((one, tuple(by_pair.get((one, other)) for other in names)) for one in names)
    return Matrix(", ".join(part for part in parts if part), names, rows)


def _line(row: Row) -> str:
    mean, low, high = (points(x) for x in (row.after.value, row.after.low, row.after.high))
    gain = points(row.gain.value, signed=True)
    cells = (
        row.style,
        row.setting.method,
        words.shots(row.setting.shots),
        f"{points(row.before.value)} %",
        f"{mean} % ({low}–{high})",
        f"{points(row.listed_after.value)} %" if row.listed_after else "–",
        gain,
        f"{row.tokens_after:.1f}",
        f"{row.train_minutes:.1f}",
    )
    return f"| {' | '.join(map(one_line, cells))} |"


def _state(summary: StudySummary) -> str:
    seeds = ", ".join(str(seed) for seed in summary.seeds)
    return f"\n{summary.finished} of {summary.cells} runs finished; seeds {seeds}.\n"


def _spread(mean: Mean) -> str:
    """The value of each seed, in per cent."""
    return " · ".join(points(one.value) for one in mean.seeds)


def _between(score: Mean | Rate) -> str:
    """Both ends in per cent."""
    return f"{points(score.low)}–{points(score.high)}"


@cache
def environment() -> Environment:
    """Where templates are looked for, and the filters that they use; one, made once."""
    from jinja2 import ChoiceLoader, PackageLoader

    places = [PackageLoader("rftkit.study", "."), PackageLoader("rftkit.report", ".")]
    environment = report.environment().overlay(loader=ChoiceLoader(places))
    environment.filters = environment.filters | {
        "spread": _spread,
        "shots": words.shots,
        "words": words.numbers,
        "between": _between,
        "display_name": display_name,
        "capital": lambda text: text[:1].upper() + text[1:],
    }
    return environment
