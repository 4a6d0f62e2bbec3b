"""Opening the tracker that `--log` names, for as long as a run lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from rftkit.recipe.schema import Recipe
from rftkit.runs.run import RunFolder
from rftkit.training.request import Logger
from rftkit.training.trackers.tracker import NO_TRACKER, Tracker


@contextmanager
def tracking(log: Logger, run: RunFolder, recipe: Recipe, console: Console) -> Iterator[Tracker]:
    """The tracker of a run; of those that transformers knows by itself none is needed here."""
    if log != "wandb":
        yield NO_TRACKER
        return
    from rftkit.training.trackers.weights_and_biases import logged

    with logged(run, recipe, console) as tracker:
        yield tracker
