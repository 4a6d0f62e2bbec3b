"""What a finished run, and a folder of runs, look like in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rftkit import files
from rftkit.errors import UserError
from rftkit.messages import printable, runnable
from rftkit.metrics.files import evaluations, read_summary
from rftkit.metrics.schema import display_model
from rftkit.report.baselines import baselines_beside, show_baselines
from rftkit.report.published.table import beside, show_beside
from rftkit.report.terminal import show_summary
from rftkit.runs.adapter import recipe_of
from rftkit.runs.run import RunFolder, runs_under, state

if TYPE_CHECKING:
    from rich.console import Console

LEFT_OUT = ("model", "method", "metric", "step")  # of the columns, where the lines are too narrow
COLUMNS = ("run", "state", "model", "method", "step", "metric", "base", "tuned")


def show_result(run: RunFolder, console: Console) -> None:
    """The newest evaluation of a run, where its report is, and what to type next."""
    for folder in evaluations(run.evaluations)[:1]:
        summary = read_summary(folder)
        show_summary(summary, console)
        if baselines := baselines_beside(folder, summary):
            show_baselines(baselines, console)
        if published := beside(recipe_of(run), summary):
            show_beside(published, console)
    for text in (f"report: {run.report}", f"next: {_next(run)}"):
        console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def _next(run: RunFolder) -> str:
    """A prediction for the image that the run kept; for one of the user's where that says little.

    The tasks that need a question as well get no image: the command says what else to give.
    """
    from rftkit.inference.question import needs_question

    asked = needs_question(recipe_of(run), run.status().get("labels", ()))
    image = str(run.example) if run.example.is_file() and not asked else "IMAGE"
    return runnable("predict", image, "--ckpt", str(run.folder))


def list_runs(folder: Path, console: Console, as_json: bool) -> None:
    """The runs in a folder, newest first, with state, step, metric and its two values."""
    rows = [_row(run, folder) for run in runs_under(folder)] if folder.is_dir() else []
    if as_json:
        console.file.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    if not rows:
        raise UserError(f"{folder}: no runs; start one with `rftkit train quickstart`")
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = shown_columns(rows, console.width)
    for name in columns:
        number = name in ("step", "base", "tuned")
        table.add_column(
            display_model(name), justify="right" if number else "left", no_wrap=name == "run"
        )
    for row in rows:
        table.add_row(*(Text(printable(str(row[name]))) for name in columns))
    console.print(table)
    for row in rows:
        if why := row.get("problem"):
            line = f"{row['run']}: {why}"
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def shown_columns(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """The columns that fit beside each other; what a reader needs least is left out first."""
    columns = list(COLUMNS)
    for name in LEFT_OUT:
        widths = [max(len(str(row[one])) for row in [*rows, {one: one}]) for one in columns]
        if sum(widths) + 2 * len(columns) <= width:
            break
        columns.remove(name)
    return columns


def _row(run: RunFolder, root: Path) -> dict[str, Any]:
    name = run.folder.name if run.folder == root else str(run.folder.relative_to(root))
    try:
        recipe, metrics = recipe_of(run), files.read_lines(run.metrics)
        main = run.main_evaluation(recipe)
        summary = read_summary(main) if main in evaluations(run.evaluations) else None
    except UserError as error:  # one damaged run does not hide the others
        return dict.fromkeys(COLUMNS, "") | {
            "run": name, "state": "unreadable", "problem": str(error),
        }  # fmt: skip
    sides = {"base": summary and summary.base, "tuned": summary and summary.tuned}
    return {
        "run": name,
        "state": state(run),
        "model": recipe.model.name,
        "method": f"{recipe.method.kind} {recipe.style}",
        "step": f"{metrics[-1]['step'] if metrics else 0}/{recipe.method.steps}",
        "metric": summary.metric if summary else "",
        **{
            key: f"{100 * side.accuracy.value:.1f} %" if side else "" for key, side in sides.items()
        },
    }
