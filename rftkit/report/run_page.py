"""A run's page, put together from the files in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rftkit import files
from rftkit.core import Example
from rftkit.errors import DataError, UserError
from rftkit.messages import runnable
from rftkit.metrics import Summary
from rftkit.metrics.files import REPORT, SAMPLES, evaluations, finish
from rftkit.metrics.samples import read_samples
from rftkit.metrics.scoring import rescored
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.report import training_curves
from rftkit.report.baselines import baselines_beside
from rftkit.report.page import ReportInput, write_report
from rftkit.report.published.table import beside
from rftkit.report.samples_shown import OpenImages
from rftkit.runs import run as runs
from rftkit.runs.adapter import recipe_of
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from PIL.Image import Image


class ShownData(NamedTuple):
    """The examples whose images a page shows; without them, why there are none."""

    examples: Sequence[Example] = ()
    no_images: str = ""


class ShownEvaluation(NamedTuple):
    """An evaluation that a page shows: its folder, and what was found."""

    folder: Path
    summary: Summary | None


def write_run_report(
    page: Path,
    run: RunFolder | None,
    recipe: Recipe,
    evaluation: ShownEvaluation | None,
    data: ShownData,
) -> None:
    """Write the page of a run or of one of its evaluations; what is None is left out."""
    summary = evaluation.summary if evaluation else None
    samples = rescored(read_samples(evaluation.folder / SAMPLES)).samples if evaluation else ()
    status = run.status() if run else {}
    title = run.folder.name if run else page.parent.parent.name
    write_report(
        page,
        ReportInput(
            title=title,
            summary=summary,
            samples=samples,
            metrics=files.read_lines(run.metrics) if run else [],
            recipe_toml=dump_recipe(recipe),
            versions=status.get("versions", {}),
            open_images=opener(data.examples),
            beside=beside(recipe, summary) if summary else None,
            baselines=baselines_beside(evaluation.folder, summary)
            if evaluation and summary
            else None,
            how=how_it_ran(run),
            no_images=data.no_images,
            facts=facts(run, recipe, summary),
            commands=commands(run),
            alarms=alarms(run),
        ),
    )


def facts(run: RunFolder | None, recipe: Recipe, summary: Summary | None) -> list[tuple[str, str]]:
    """What stands at the top of a page: model, data, time, machine."""
    found = [("model", recipe.model.name), ("method", f"{recipe.method.kind}, {recipe.style}")]
    metrics = files.read_lines(run.metrics) if run else []
    counted = run.status().get("training_images") if run else None
    if counted:
        used, there = counted
        found.append(("training images", f"{used} of {there}" if used < there else str(used)))
    found += [one for one in training_curves.cost(metrics) if one[0] in ("steps", "minutes")]
    lengths = training_curves.column(metrics, "length").values
    if lengths:
        written = sum(lengths) * recipe.method.batch_size * recipe.method.group_size
        found.append(("tokens written in training", f"{written:,.0f}"))
    side = (summary.tuned or summary.base) if summary else None
    if summary and side:
        unit = get_task(summary.task).words.unit
        found.append((f"tested {unit}", str(side.n)))
        if summary.provenance.hardware:
            found.append(("machine", summary.provenance.hardware))
        if side.speed and side.speed.peak_memory_bytes:
            peak = f"{side.speed.peak_memory_bytes / 2**30:.2f} GiB"
            found.append(("peak memory, evaluating", peak))
    return found


def alarms(run: RunFolder | None) -> list[str]:
    """What went wrong while a run trained, with what to do about it: a line each."""
    found = files.read_lines(run.alarms) if run else []
    return [f"step {a.get('step')}: {a.get('text')}; {a.get('advice')}" for a in found]


def commands(run: RunFolder | None) -> list[str]:
    """What can be typed next about a run."""
    if run is None:
        return []
    where = ("--ckpt", str(run.folder))
    return [
        runnable("predict", "IMAGE", *where),
        runnable("eval", *where, "--data", "FOLDER"),
        runnable("demo", *where),
        runnable("report", str(run.folder)),
    ]


HOW = (  # of effective.json
    *("trainer", "shared_prefix", "generation", "base_model", "out_of_memory"),
    "warm-up trainer",
)


def how_it_ran(run: RunFolder | None) -> dict[str, str]:
    """Which paths the training took, and what it measured of them on its first batch."""
    found = run.settings_in_force() if run else {}
    return {name: value for name, value in found.items() if name in HOW or "checked " in name}


def rewrite_report(location: Path) -> RunFolder:
    """Write a run's page anew from its files; its images too, where the data can be read."""
    listed = runs.runs_under(location) if location.is_dir() else []
    if not listed:
        raise UserError(f"{location}: no run there; `rftkit runs` lists them")
    run = listed[0]
    recipe = recipe_of(run)
    main = run.main_evaluation(recipe)
    folders = evaluations(run.evaluations)
    folder = main if main in folders else next(iter(folders), None)
    evaluation = ShownEvaluation(folder, finish(folder)) if folder else None
    summary = evaluation.summary if evaluation else None
    data = _shown_data(recipe, summary.split) if summary else ShownData()
    write_run_report(run.report, run, recipe, evaluation, data)
    if folder:
        files.write_atomically(folder / REPORT, run.report.read_bytes())
    return run


def opener(examples: Sequence[Example]) -> OpenImages:
    """Opens the images of an example by its id; none where one of them is gone."""
    images = {example.id: example.images for example in examples}

    def open_images(identity: str) -> Sequence[Image]:
        try:
            return [image.open() for image in images.get(identity, ())]
        except DataError:
            return ()

    return open_images


def _shown_data(recipe: Recipe, split: str) -> ShownData:
    from rftkit.data.examples import load_examples

    try:
        return ShownData(load_examples(recipe, split).examples)
    except DataError as error:  # the data has moved: a page without images, which says so
        return ShownData((), f"the data cannot be read ({error})")
