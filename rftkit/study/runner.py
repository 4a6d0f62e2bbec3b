"""Running the cells of a study one after another: what is done is skipped, what began continues."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console

from rftkit.errors import RecipeError
from rftkit.metrics.files import SUMMARY
from rftkit.recipe.diff import differences
from rftkit.runs.adapter import recipe_of
from rftkit.runs.locks import holder, owner_of
from rftkit.runs.run import RunFolder, is_run
from rftkit.study.grid import Cell
from rftkit.study.launch import Launch, complaint

BETWEEN = 0.2  # seconds between two looks at a lock
CROSSED = "crossed"  # folder of the evaluations on other recipes' images

Progress = Literal["done", "begun", "to do"]


@dataclass(frozen=True)
class StudyJob:
    """A study that is being run.

    path: its file. crossed: adapters are tested on other recipes' images too. command: what runs
    it again.
    """

    path: Path
    grid: Sequence[Cell]
    crossed: bool
    out: Path
    command: str


class Crossing(NamedTuple):
    """An adapter to be tested on another recipe's images; both runs are in the same setting."""

    trained: Cell
    other: Cell

    def folder(self, out: Path) -> Path:
        """Where its evaluation goes."""
        return out / CROSSED / self.trained.name / self.other.dataset

    def samples(self, out: Path) -> Path:
        """The folder of its samples and its summary."""
        return self.folder(out) / self.other.wanted.data.test_split


def run_of(cell: Cell, out: Path) -> RunFolder:
    """The run of a cell."""
    return RunFolder(out / cell.name)


def progress(cell: Cell, out: Path) -> Progress:
    """How far a cell is. Raises RecipeError, naming each difference, if its run is another's."""
    run = run_of(cell, out)
    if not is_run(run.folder):
        return "to do"
    if differ := differences(cell.wanted, recipe_of(run)):
        raise RecipeError(
            f"{run.folder}: made by another recipe: {'; '.join(differ)}; "
            "name another --out, or delete that folder"
        )
    return "done" if run.status()["state"] == "finished" else "begun"


def run_cells(
    job: StudyJob,
    console: Console,
    launch: Launch,
    failed: dict[str, str],
    after_each: Callable[[dict[str, str]], None],
) -> None:
    """Train whatever is not done.

    A cell that fails does not stop the others: its name and complaint are added to `failed`,
    which `after_each` is given after every cell.
    Raises RecipeError before the first cell starts if a folder holds another recipe's run.
    """
    grid, out = job.grid, job.out
    left = [cell for cell in grid if progress(cell, out) != "done"]
    if skipped := len(grid) - len(left):
        _say(f"{skipped} of {len(grid)} runs are done already", console)
    for cell in left:
        _say(f"run {grid.index(cell) + 1} of {len(grid)}: {cell.name}", console)
        _wait_for(run_of(cell, out).folder, console)
        started = time.perf_counter()
        ended = launch(command_of(cell, out, _twin(cell, grid, out)), console)
        if ended.code:
            failed[cell.name] = complaint(ended)
            _say(f"failed: {cell.name}; the others continue", console)
        else:
            _say(f"finished in {(time.perf_counter() - started) / 60:.1f} min", console)
        after_each(failed)


def _wait_for(folder: Path, console: Console) -> None:
    """Wait until no process of this machine works in a run, as one whose study was killed may."""
    owner, said = owner_of(folder), False
    while owner and owner.host == socket.gethostname() and (name := holder(folder)):
        if not said:
            _say(f"{folder}: in use by {name}; waiting for it", console)
        said = True
        time.sleep(BETWEEN)
        owner = owner_of(folder)


def command_of(cell: Cell, out: Path, twin: Cell | None = None) -> list[str]:
    """What runs a cell: `rftkit train`, as a user would type it.

    twin: a finished cell whose replies of the base model are used again, where they would be equal.
    """
    changes = [word for override in cell.overrides for word in ("--set", override)]
    resume = ["--resume"] if progress(cell, out) == "begun" else []
    base = ["--base-from", str(run_of(twin, out).folder)] if twin else []
    folder = str(run_of(cell, out).folder)
    words = ["train", str(cell.path), "--out", folder, *changes, *base, *resume]
    return [*python_module("rftkit"), *words]


def _twin(cell: Cell, grid: Sequence[Cell], out: Path) -> Cell | None:
    """A finished cell that asked the base model the same, of the same seed if there is one."""
    alike = [c for c in grid if (c.dataset, c.wanted.style) == (cell.dataset, cell.wanted.style)]
    alike.sort(key=lambda other: other.wanted.seed != cell.wanted.seed)
    return next((other for other in alike if progress(other, out) == "done"), None)


def crossings(grid: Sequence[Cell]) -> list[Crossing]:
    """Every pair of different recipes, same style, method, shots, seed, task and base model."""
    return [
        Crossing(one, other)
        for one in grid
        for other in grid
        if one.dataset != other.dataset and _comparable(one, other)
    ]


def run_crossings(job: StudyJob, console: Console, launch: Launch, failed: dict[str, str]) -> None:
    """Test adapters on other recipes' images, where both runs are done and it is not yet.

    A test that fails is added to `failed`.
    """
    out = job.out
    for crossing in crossings(job.grid):
        ready = all(progress(cell, out) == "done" for cell in crossing)
        if not ready or (crossing.samples(out) / SUMMARY).is_file():
            continue
        name = f"{crossing.trained.name} on {crossing.other.dataset}"
        _say(f"test of {name}", console)
        folders = [str(run_of(cell, out).folder) for cell in crossing]
        home = str(crossing.folder(out))
        ended = launch([*python_module("rftkit.study.cross_test"), *folders, home], console)
        if ended.code:
            failed[name] = complaint(ended)


def _comparable(one: Cell, other: Cell) -> bool:
    mine, theirs = one.wanted, other.wanted
    same_point = (one.point, mine.style, mine.seed) == (other.point, theirs.style, theirs.seed)
    return same_point and (mine.task, mine.model) == (theirs.task, theirs.model)


def python_module(module: str) -> list[str]:
    """The command that runs a module of rftkit's, whatever modules the current folder holds."""
    return [sys.executable, "-P", "-m", module]


def _say(line: str, console: Console) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
