"""Baselines beside an evaluation: found by what they were made from, shown in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.errors import DataError
from rftkit.measures.rates import rate
from rftkit.measures.values import Rate, Record
from rftkit.metrics import Summary
from rftkit.metrics.baselines import (
    BaselineRow,
    Baselines,
    compare,
    fits,
    read_baselines,
    sentences,
    setting_sha256,
)
from rftkit.metrics.files import SAMPLES
from rftkit.metrics.samples import Sample, read_samples
from rftkit.metrics.scoring import rescored
from rftkit.metrics.verdict import points
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.report import tables
from rftkit.runs.adapter import CARD, read_card, recipe_of
from rftkit.runs.run import BASELINES, RunFolder, is_run

if TYPE_CHECKING:
    from rich.console import Console

ALONE = "Each interval is of its own row: of several rows, one may be off by luck."


class BaselineTable(Record):
    """What is shown. evaluation: the folder that it is compared with, "" without one.

    tuned: the fine-tuned model there. sentences: what the intervals allow to say. notes: what a
    reader must know of the rows.
    """

    file: str
    evaluation: str = ""
    about: str = ""
    tuned: Rate | None = None
    rows: tuple[BaselineRow, ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def baselines_beside(evaluation: Path, summary: Summary) -> BaselineTable | None:
    """The baselines that fit an evaluation, compared with its fine-tuned model; None without any.

    Looked for in the folder of its run, then in the folders beside that one. A file that cannot
    be read is passed over; of the run's own the table says so, and has no rows.
    """
    home = evaluation.resolve().parent.parent
    own = home / BASELINES
    others = sorted(path for path in home.parent.glob(f"*/{BASELINES}") if path != own)
    files = [path for path in (own, *others) if path.is_file()]
    if not files or (recipe := _recipe_at(home)) is None:
        return None
    for path in files:
        try:
            baselines = read_baselines(path)
        except DataError as error:
            if path == own:
                return BaselineTable(file=str(path), notes=(str(error),))
            continue
        if not _same(baselines, recipe, summary):
            continue
        samples = rescored(read_samples(evaluation / SAMPLES)).samples
        if fits(baselines, samples):
            tuned = [sample for sample in samples if sample.side == "tuned"]
            return table(path, baselines, tuned, str(evaluation))
    return None


def table(
    file: Path, baselines: Baselines, tuned: Sequence[Sample] = (), evaluation: str = ""
) -> BaselineTable:
    """Every baseline as a row, beside the fine-tuned model's samples where there are any."""
    rows = compare(baselines, tuned)
    return BaselineTable(
        file=str(file),
        evaluation=evaluation,
        about=f"from {baselines.shots} training shots of {baselines.classes} classes, or the base "
        f"model alone; {len(tuned) or len(baselines.examples)} test examples",
        tuned=rate([s.correct for s in tuned], [s.image for s in tuned]) if tuned else None,
        rows=rows,
        sentences=sentences(rows),
        notes=baselines.notes,
    )


def show_baselines(shown: BaselineTable, console: Console) -> None:
    """The table in a terminal, legible in 40 columns, and what it means."""
    from rich.table import Table
    from rich.text import Text

    compared = any(row.difference for row in shown.rows)
    heads = ["accuracy", "95 %", *(["fine-tuned ahead by"] if compared else [])]
    lines = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    lines.add_column(Text("Baselines"))
    for head in heads:
        lines.add_column(Text(head), justify="right")
    if shown.tuned:
        model = (tables.in_words(shown.tuned), tables.interval(shown.tuned))
        lines.add_row("(the fine-tuned model)", *(Text(cell) for cell in model))
    for row in shown.rows:
        if row.accuracy:
            lines.add_row(*(Text(cell) for cell in cells(row)[: len(heads) + 1]))
    console.print()
    console.print(lines)
    for row in shown.rows:
        if row.missing:
            console.print(Text(f"{row.title}: none, as {row.missing}"))
    for text in (shown.about, *(f"note: {note}" for note in shown.notes)):
        console.print(Text(text))
    for text in shown.sentences:
        console.print(Text(text, style="bold"))


def cells(row: BaselineRow) -> tuple[str, str, str, str]:
    """Title, accuracy, its interval, and fine-tuned minus baseline with its interval."""
    if row.accuracy is None:
        return row.title, tables.NONE, "", ""
    first = (row.title, tables.in_words(row.accuracy), tables.interval(row.accuracy))
    if row.difference is None:
        return (*first, "")
    value, low, high = (
        points(end, signed=True)
        for end in (row.difference.value, row.difference.low, row.difference.high)
    )
    return (*first, f"{value} ({low} to {high})")


def _same(baselines: Baselines, recipe: Recipe, summary: Summary) -> bool:
    """Whether an evaluation asked what the baselines were asked, with the same shots behind it."""
    return (
        baselines.setting_sha256 == setting_sha256(recipe)
        and baselines.style == summary.style
        and baselines.data == summary.provenance.data
    )


def _recipe_at(home: Path) -> Recipe | None:
    """The recipe of a run or of an adapter folder; None for another folder."""
    if is_run(home):
        return recipe_of(RunFolder(home))
    if (home / CARD).is_file():
        return parse_recipe(read_card(home).recipe, str(home / CARD))
    return None
