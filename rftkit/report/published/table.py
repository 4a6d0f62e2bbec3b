"""The papers' figures beside the user's own, and in what they are not the same measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rftkit.metrics import Summary
from rftkit.metrics.schema import SideSummary
from rftkit.recipe.schema import Recipe
from rftkit.report import published
from rftkit.report.published import Figure
from rftkit.report.tables import PER_CATEGORY
from rftkit.tasks import get_task
from rftkit.tasks.annotated import chosen_categories
from rftkit.tasks.options import DetectionOptions

if TYPE_CHECKING:
    from rich.console import Console

ROWS = 12
KEYS = {"mAP": "map", "mIoU": "miou"}  # of the published figures, to those of a summary
METRICS = ("accuracy", *KEYS)  # of one category, of masks or in minutes: not shown here
HALVES = ("base", "new", "harmonic mean")


class Row(NamedTuple):
    """One method, published or the user's own. values: per cent, None where there is none."""

    method: str
    source: str
    model: str
    shots: str
    values: tuple[float | None, ...]
    differs: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The values with one decimal."""
        return tuple("–" if value is None else f"{value:.1f}" for value in self.values)


@dataclass(frozen=True)
class Beside:
    """Published rows of one data set with the user's own first.

    columns: the parts measured. common: how all published rows differ from the user's; a row's
    `differs` holds the rest. protocols: how the papers measured.
    """

    title: str
    columns: tuple[str, ...]
    own: tuple[Row, ...]
    rows: tuple[Row, ...]
    common: tuple[str, ...]
    protocols: tuple[str, ...]
    left_out: int

    @property
    def caveats(self) -> tuple[str, ...]:
        """What holds for every published figure; the last one is about harmonic means."""
        *general, of_means = published.CAVEATS
        return (*general, of_means) if HALVES[2] in self.columns else tuple(general)


def beside(recipe: Recipe, summary: Summary) -> Beside | None:
    """What the papers measured on the data set of this evaluation; None where none did.

    None too for an evaluation on other data than the recipe's.
    """
    data = f"{recipe.data.source} {recipe.data.path}".strip()
    if summary.provenance.data not in ("", data) or summary.task != recipe.task:
        return None
    figures = [figure for figure in published.matching(recipe) if figure.metric in METRICS]
    named = dict.fromkeys(figure.part for figure in figures)
    parts = tuple(sorted(named, key=lambda part: HALVES.index(part) if part in HALVES else -1))
    methods = _nearest(_by_method(figures))
    if not methods:
        return None
    chosen = methods[:ROWS]
    first = chosen[0][0]
    rows = [_row(group, parts, recipe, summary) for group in chosen]
    common = tuple(d for d in rows[0].differs if all(d in row.differs for row in rows))
    return Beside(
        title=f"{first.data_set}, {first.metric} in per cent",
        columns=tuple(part or first.metric for part in parts),
        own=tuple(_own(recipe, summary, parts, first.metric)),
        rows=tuple(
            row._replace(differs=tuple(d for d in row.differs if d not in common)) for row in rows
        ),
        common=common,
        protocols=tuple(
            dict.fromkeys(f"{f.paper}: {published.protocol_note(f)}" for f, *_ in chosen)
        ),
        left_out=len(methods) - len(chosen),
    )


def show_beside(results: Beside, console: Console) -> None:
    """The same in a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("shots", justify="right")
    for name in results.columns:
        table.add_column(Text(name), justify="right")
    for row in (*results.own, *results.rows):
        name = f"{row.source} {row.method}"
        table.add_row(*(Text(cell) for cell in (name, row.model, row.shots, *row.cells)))
    console.print(Text(f"\nPublished results: {results.title}"))
    console.print(table)
    for line in remarks(results):
        console.print(Text(line))


def remarks(results: Beside) -> list[str]:
    """What is to be known of the table: how figures differ, how they were measured."""
    apart = dict.fromkeys(phrase for row in results.rows for phrase in row.differs)
    return [
        *([f"all of them: {'; '.join(results.common)}"] if results.common else []),
        *(_apart(phrase, results) for phrase in apart),
        *([f"{results.left_out} more published rows are not shown"] if results.left_out else []),
        *results.protocols,
        *results.caveats,
    ]


def _apart(phrase: str, results: Beside) -> str:
    """A difference, and which rows have it; of the model the table tells."""
    if phrase.startswith("model "):
        return phrase
    having = [row for row in results.rows if phrase in row.differs]
    methods = dict.fromkeys(row.method for row in having)
    all_of_them = all(phrase in row.differs for row in results.rows if row.method in methods)
    named = [f"{row.source} {row.method} ({row.model})" for row in having]
    return f"{', '.join(methods if all_of_them else named)}: {phrase}"


def _by_method(figures: Sequence[Figure]) -> list[list[Figure]]:
    """The figures of each paper, model, method and number of shots, models together."""
    by_method: dict[tuple[str, str, str, int | None], list[Figure]] = {}
    for figure in figures:
        key = (figure.model, figure.paper, figure.method, figure.shots)
        by_method.setdefault(key, []).append(figure)
    models = list(dict.fromkeys(model for model, *_ in by_method))
    return [by_method[key] for key in sorted(by_method, key=lambda key: models.index(key[0]))]


def _nearest(methods: Sequence[list[Figure]]) -> list[list[Figure]]:
    """Of each paper's method with a model the first: they come by how near their shots are."""
    by_model: dict[tuple[str, str, str], list[Figure]] = {}
    for figures in methods:
        by_model.setdefault((figures[0].model, figures[0].paper, figures[0].method), figures)
    return list(by_model.values())


def _row(figures: list[Figure], parts: Sequence[str], recipe: Recipe, summary: Summary) -> Row:
    first, values = figures[0], {figure.part: figure.value for figure in figures}
    size = round(summary.list_size) if summary.list_size is not None else 0
    offered = size if get_task(summary.task).predicts_labels else None
    return Row(
        method=first.method,
        source=first.paper,
        model=first.model,
        shots=_shots(first.shots) if first.method != "base" else "",
        values=tuple(values.get(part) for part in parts),
        differs=(*published.differences(first, recipe, "strict", offered), *_rules(first, summary)),
    )


def _rules(figure: Figure, summary: Summary) -> tuple[str, ...]:
    """The papers' mAP is by COCO's rules on every data set."""
    side = summary.tuned or summary.base
    own = side.measure("map") if side else None
    here = own is not None and own.rules == "lvis"
    return ("COCO's rules, here LVIS's",) if figure.metric == "mAP" and here else ()


def _own(recipe: Recipe, summary: Summary, parts: Sequence[str], metric: str) -> list[Row]:
    sides = {"base": summary.base, "tuned": summary.tuned}
    method = "sft" if recipe.method.kind == "sft" else summary.style
    model = recipe.model.name.rpartition("/")[2]
    return [
        Row(
            method="base" if name == "base" else method,
            source="yours,",
            model=model,
            shots="" if name == "base" else _shots(recipe.data.shots),
            values=tuple(_percent(_value(recipe, summary, side, metric, part)) for part in parts),
        )
        for name, side in sides.items()
        if side
    ]


def _value(
    recipe: Recipe, summary: Summary, side: SideSummary, metric: str, part: str
) -> float | None:
    """The user's own figure of that kind, a fraction; None if it was not measured."""
    if metric == "accuracy" and get_task(summary.task).answer_kind == "option":
        return _of_bench(side, part)
    if metric == "accuracy" and part in HALVES:
        halves = side.halves and (side.halves.base, side.halves.new, side.halves.harmonic)
        return halves[HALVES.index(part)].value if halves else None
    if metric == "accuracy" and not part:
        return side.accuracy.value
    if metric == "mAP" and part in ("base", "new"):
        return _of_half(recipe, side, part)
    own = side.measure(KEYS[metric]) if metric in KEYS else None
    if own is not None and part in ("", "all", summary.split):
        return own.value
    return None


def _of_half(recipe: Recipe, side: SideSummary, part: str) -> float | None:
    """The mean of the AP of the categories that are in the recipe's new half, or are not."""
    assert isinstance(recipe.options, DetectionOptions)
    new = chosen_categories(recipe.options.new)
    values = [
        measure.value
        for measure in side.metrics
        if measure.name == PER_CATEGORY and measure.value is not None
        if (measure.label in new) == (part == "new")
    ]
    return fmean(values) if values and new else None


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _of_bench(side: SideSummary, part: str) -> float | None:
    micro = side.measure("cv_bench_micro")
    if micro is None:  # tested on other questions
        return None
    if not part:
        return micro.value
    return next((r.value for name, r in side.groups.items() if name.casefold() == part), None)


def _shots(shots: int | None) -> str:
    return "" if shots is None else str(shots) if shots else "all"
