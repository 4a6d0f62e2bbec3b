"""`rftkit baseline`: what simple methods make of a recipe's shots, beside its fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from rftkit.cli.options import AsJson, Override, command_line, progress, results, say
from rftkit.messages import runnable

if TYPE_CHECKING:
    from rftkit.metrics.baselines import Baselines
    from rftkit.recipe.schema import Recipe
    from rftkit.report.baselines import BaselineTable


class _Asked(NamedTuple):
    """folder: where the file goes. train: the command that trains by the recipe, "" for a run."""

    recipe: Recipe
    folder: Path
    train: str = ""


def baseline(
    recipe: Annotated[
        Path | None, typer.Argument(help="a recipe file, or the name of a built-in one")
    ] = None,
    ckpt: Annotated[
        Path | None, typer.Option("--ckpt", help="a run or an adapter, instead of a recipe")
    ] = None,
    overrides: Override = [],  # noqa: B006  typer copies it
    out: Annotated[
        Path | None,
        typer.Option(help="folder of baselines.json; default out/<recipe name>, or the run's"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test what a recipe's shots give without fine-tuning: frequency, label scores, probes."""
    if (recipe is None) == (ckpt is None):
        raise typer.BadParameter("give either a recipe or --ckpt RUN")
    if ckpt is not None and overrides:
        raise typer.BadParameter("--set changes a recipe; a run has its own")
    asked = _of_recipe(recipe, overrides, out) if recipe else _of_run(ckpt or Path(), out)
    from rftkit.evaluation.baselines import measure_baselines
    from rftkit.runs.run import BASELINES

    file = asked.folder / BASELINES
    baselines = measure_baselines(asked.recipe, file, command_line(), progress(False))
    _show(asked, file, baselines, as_json)


def _of_recipe(recipe: Path, overrides: list[str], out: Path | None) -> _Asked:
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import load_recipe

    path = find_recipe(recipe)
    changes = [part for override in overrides for part in ("--set", override)]
    train = runnable("train", str(recipe), *changes)
    return _Asked(load_recipe(path, overrides), out or Path("out") / path.stem, train)


def _of_run(ckpt: Path, out: Path | None) -> _Asked:
    from rftkit.runs.adapter import find

    found = find(ckpt)
    return _Asked(found.recipe, out or (found.run.folder if found.run else found.adapter))


def _show(asked: _Asked, file: Path, baselines: Baselines, as_json: bool) -> None:
    """The rows, beside the evaluation that the file's own run ends with, if it fits."""
    from rftkit.report.baselines import show_baselines, table
    from rftkit.runs.run import is_run

    shown, page = _beside_run(asked, file)
    shown = shown or table(file, baselines)
    if as_json:
        typer.echo(shown.model_dump_json(indent=2))
        return
    console = results()
    show_baselines(shown, console)
    say(f"file: {file}", console)
    if page:
        say(f"report: {page}", console)
        return
    if is_run(file.parent):
        say(
            f"note: {file.parent} holds no evaluation of the same settings to compare with", console
        )
    if asked.train:
        say(f"next: {asked.train}", console)


def _beside_run(asked: _Asked, file: Path) -> tuple[BaselineTable | None, Path | None]:
    """The comparison with the run in the file's folder, whose report is written anew."""
    from rftkit.metrics.files import evaluations, read_summary
    from rftkit.report.baselines import baselines_beside
    from rftkit.report.run_page import rewrite_report
    from rftkit.runs.run import RunFolder, is_run

    run = RunFolder(file.parent)
    main = run.main_evaluation(asked.recipe)
    if not is_run(run.folder) or main not in evaluations(run.evaluations):
        return None, None
    shown = baselines_beside(main, read_summary(main))
    if shown is None or Path(shown.file) != file.resolve():  # those of a run beside this one
        return None, None
    return shown, rewrite_report(run.folder).report
