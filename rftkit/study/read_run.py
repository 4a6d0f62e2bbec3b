"""What one finished run measured, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rftkit import files
from rftkit.metrics import Summary
from rftkit.metrics.files import SAMPLES, read_summary
from rftkit.metrics.samples import Sample, SamplesFile, Side, read_samples
from rftkit.metrics.scoring import rescored
from rftkit.recipe.schema import Recipe
from rftkit.report.training_curves import column
from rftkit.runs.run import RunFolder
from rftkit.study.grid import Cell
from rftkit.study.runner import run_of


@dataclass(frozen=True)
class Measured:
    """A finished cell: its samples, scored by today's rules, and what it cost.

    summary: as its own evaluation wrote it. tested_seconds: spent on the replies of the tuned
    model. signal: share of the groups whose replies did not all score the same, None where
    nothing is sampled.
    """

    cell: Cell
    summary: Summary
    base: tuple[Sample, ...]
    tuned: tuple[Sample, ...]
    trained_seconds: float
    tested_seconds: float
    trained_tokens: float
    signal: float | None


def read_cell(cell: Cell, out: Path) -> Measured:
    """The results of a finished cell."""
    run, recipe = run_of(cell, out), cell.wanted
    folder = run.main_evaluation(recipe)
    file = rescored(read_samples(folder / SAMPLES))
    metrics = files.read_lines(run.metrics)
    silent = column(metrics, "silent_groups").values
    return Measured(
        cell=cell,
        summary=read_summary(folder),
        base=of_side(file, "base"),
        tuned=of_side(file, "tuned"),
        trained_seconds=sum(column(metrics, "seconds").values),
        tested_seconds=sum(t.seconds for t in file.timings if t.side == "tuned"),
        trained_tokens=_tokens(run, recipe),
        signal=1 - fmean(silent) if silent else None,
    )


def of_side(file: SamplesFile, side: Side) -> tuple[Sample, ...]:
    """The samples of one side."""
    return tuple(sample for sample in file.samples if sample.side == side)


def _tokens(run: RunFolder, recipe: Recipe) -> float:
    """Tokens written while training: mean length × prompts × completions, summed over steps."""
    lengths = column(files.read_lines(run.metrics), "length").values
    return sum(lengths) * recipe.method.batch_size * recipe.method.group_size
