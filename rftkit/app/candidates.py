"""What can stand on either side: the base model, and adapters of runs that were trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rftkit.errors import UserError
from rftkit.recipe.schema import Recipe
from rftkit.runs import checkpoints
from rftkit.runs.adapter import Checkpoint, recipe_of
from rftkit.runs.run import RunFolder, runs_under

BASE = "base model"
MOST = 40  # runs that are looked at, the newest first


class Candidate(NamedTuple):
    """A model for one side. adapter: None for the base."""

    name: str
    adapter: Path | None = None


def candidates(served: Checkpoint, roots: Sequence[Path]) -> list[Candidate]:
    """The base, the adapter that is served, and those of other runs on the same base and task.

    roots: folders of runs; one that is not there is passed over.
    """
    own = Candidate(_name(served.adapter, served.run), served.adapter)
    found = {served.adapter.resolve(): own}
    for root in roots:
        for run in runs_under(root)[:MOST] if root.is_dir() else []:
            if _fits(run, served.recipe):
                for adapter in _adapters(run):
                    found.setdefault(adapter.resolve(), Candidate(_name(adapter, run), adapter))
    return [Candidate(BASE), *found.values()]


def _fits(run: RunFolder, recipe: Recipe) -> bool:
    """Whether a run's adapter goes onto the same base, and answers the same kind of question."""
    try:
        other = recipe_of(run)
    except UserError:
        return False
    ours, theirs = recipe.model, other.model
    same = (ours.name, ours.load_in_4bit, ours.max_pixels, ours.lora_vision)
    return other.task == recipe.task and same == (
        theirs.name, theirs.load_in_4bit, theirs.max_pixels, theirs.lora_vision,
    )  # fmt: skip


def _adapters(run: RunFolder) -> list[Path]:
    """The final adapter of a run, and its whole checkpoints, the newest first."""
    final = [run.adapter] if (run.adapter / checkpoints.WEIGHTS).is_file() else []
    steps = checkpoints.in_order(run.checkpoints)
    return [*final, *(path for path in steps if (path / checkpoints.WEIGHTS).is_file())]


def _name(adapter: Path, run: RunFolder | None) -> str:
    if run is None:
        return adapter.name
    return run.folder.name if adapter == run.adapter else f"{run.folder.name}, {adapter.name}"
