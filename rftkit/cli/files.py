"""Commands about files: recipes, runs and their reports, studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rftkit.cli import complete
from rftkit.cli.options import AsJson, command_line, progress, results, say
from rftkit.errors import UserError
from rftkit.messages import one_line, runnable
from rftkit.recipe.schema import TaskName


def recipes(
    name: Annotated[str | None, typer.Argument(help="a recipe to print")] = None,
    copy: Annotated[Path | None, typer.Option(help="write it to this file or folder")] = None,
) -> None:
    """List the built-in recipes, print one, or copy one to start from."""
    from rftkit.recipe.builtin import copy_recipe, read_builtin, show_recipes

    if name is None:
        if copy is not None:
            raise typer.BadParameter("--copy needs the name of a recipe")
        show_recipes(results())
    elif copy is not None:
        typer.echo(f"wrote {copy_recipe(name, copy)}")
    else:
        typer.echo(read_builtin(name), nl=False)


def init(
    data: Annotated[
        Path,
        typer.Argument(help="folder, COCO json, data.yaml, .csv, .jsonl, archive, or hub id"),
    ],
    out: Annotated[Path | None, typer.Option(help="recipe file; default <name>.toml")] = None,
    task: Annotated[
        TaskName | None,
        typer.Option(
            metavar="TASK",
            help="what to take where several are found: classification, detection, grounding, "
            "choice, number, clock or fields",
        ),
    ] = None,
    shots: Annotated[
        int, typer.Option(min=0, help="training images of each class; 0 uses all")
    ] = 0,
) -> None:
    """Write a commented recipe for your own data, and say what was found.

    \b
    rftkit init pets                  # pets/cat/*.jpg, or pets/train/cat/*.jpg
    rftkit init cards/train.json      # COCO; also YOLO's data.yaml, Pascal VOC
    rftkit init labels.csv --shots 8  # one label a row, or fields of documents
    rftkit init project.json          # Label Studio; CVAT: annotations.xml, zip
    """
    from rftkit.preflight.init import write_starter

    starter = write_starter(data, out, task, shots)
    for line in starter.taken.found:
        say(one_line(line), results())
    for other, command in starter.others:
        say(f"also found: {one_line(other.words)}; to take it: {command}", results())
    say(f"wrote {starter.file}: task {starter.taken.taken.task}", results())
    say(f"next: {runnable('check', str(starter.file))}", results())


def runs(
    folder: Annotated[Path, typer.Argument(help="folder of runs")] = Path("out"),
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder, newest first."""
    from rftkit.cli.show.runs import list_runs

    list_runs(folder, results(), as_json)


def report(
    run: Annotated[
        Path,
        typer.Argument(help="a run, a study, or a folder of runs", autocompletion=complete.runs),
    ],
) -> None:
    """Regenerate a run's report from its files, and print its result; of a study, print that."""
    from rftkit.study.run import PAGE, SUMMARY, read_study

    if (run / SUMMARY).is_file():
        from rftkit.study.page import to_markdown

        typer.echo(to_markdown(read_study(run / PAGE)))
        say(f"page: {run / PAGE}", results())
        return
    from rftkit.cli.show.runs import show_result
    from rftkit.report.run_page import rewrite_report

    show_result(rewrite_report(run), results())


def study(
    file: Annotated[
        Path,
        typer.Argument(
            help="a study file, or the name of a built-in one", autocompletion=complete.studies
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="folder; default out/<study name>")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list the runs and their progress")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a grid of recipes, styles, shots and seeds, and say whether thinking helps."""
    from rftkit.recipe.builtin import find_study
    from rftkit.study.page import to_markdown
    from rftkit.study.run import broken, plan_study, read_study, run_study

    path = find_study(file)
    folder = out or Path("out") / path.stem
    if dry_run:
        for name, state in plan_study(path, folder):
            typer.echo(f"{state}\t{name}")
        return
    page = run_study(path, folder, progress(False), command_line())
    summary = read_study(page)
    typer.echo(summary.model_dump_json(indent=2) if as_json else to_markdown(summary))
    typer.echo(f"page: {page}", err=as_json)
    if line := broken(summary):
        raise UserError(line)
