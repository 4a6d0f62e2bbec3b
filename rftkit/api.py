"""The Python API: what `import rftkit` offers, one function a command.

Nothing here prints to standard output. `console=None` shows progress on standard error, as the
command line does; a quiet one is `rich.console.Console(quiet=True)`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rftkit import files
from rftkit.core import Attempt, Example, Style
from rftkit.errors import UserError
from rftkit.hardware.allocator import grow_segments
from rftkit.recipe import toml
from rftkit.recipe.builtin import find_recipe
from rftkit.recipe.schema import Recipe
from rftkit.runs import run as runs
from rftkit.runs.adapter import recipe_of
from rftkit.runs.run import RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from rftkit.comparison.answers import Decode
    from rftkit.comparison.schema import Comparison
    from rftkit.inference.prediction import Prediction
    from rftkit.metrics.schema import Summary

__all__ = [
    "Attempt",
    "Example",
    "Recipe",
    "Run",
    "compare",
    "evaluate",
    "load_recipe",
    "predict",
    "train",
]

PathOrName = str | Path
Logger = Literal["none", "tensorboard", "trackio", "wandb"]


@dataclass(frozen=True)
class Run:
    """A run on disk: `rftkit.train(...)` gives one, `Run("out/pets")` opens one."""

    folder: Path

    def __init__(self, folder: PathOrName) -> None:
        """Raises UserError if there is no run."""
        if not runs.is_run(Path(folder)):
            raise UserError(f"{folder}: no run there; `rftkit runs` lists them")
        object.__setattr__(self, "folder", Path(folder))

    @property
    def state(self) -> str:
        """`running`, `stopped`, `failed`, `trained` or `finished`. Raises UserError if damaged."""
        return runs.state(self._files)

    @property
    def recipe(self) -> Recipe:
        """The recipe that ran, with every default and override. Raises UserError if damaged."""
        return recipe_of(self._files)

    @property
    def summary(self) -> Summary | None:
        """Base and fine-tuned model on the test split; None if that evaluation is not finished."""
        from rftkit.metrics.files import evaluations, read_summary

        main = self._files.main_evaluation(self.recipe)
        return read_summary(main) if main in evaluations(self._files.evaluations) else None

    @property
    def adapter(self) -> Path:
        """The trained adapter: a plain PEFT folder."""
        return self._files.adapter

    @property
    def report(self) -> Path:
        """The report: one self-contained HTML page."""
        return self._files.report

    def metrics(self) -> list[dict[str, Any]]:
        """One row per optimizer step: step, loss, reward, length, seconds, and more.

        `pandas.DataFrame(run.metrics())` makes it a data frame.
        """
        return files.read_lines(self._files.metrics)

    def rollouts(self) -> list[dict[str, Any]]:
        """Some of the completions of training, each with its prompt and its rewards."""
        return files.read_lines(self._files.rollouts)

    @property
    def _files(self) -> RunFolder:
        return RunFolder(self.folder)


def load_recipe(recipe: PathOrName, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from a file, or a built-in one by its name, such as "quickstart".

    overrides: `key=value`, as after `--set`. Raises RecipeError, in one line with the way to fix
    it, for what cannot run.
    """
    return toml.load_recipe(find_recipe(Path(recipe)), overrides)


def train(
    recipe: Recipe | PathOrName,
    out: PathOrName | None = None,
    *,
    resume: bool = False,
    log: Logger = "none",
    console: Console | None = None,
) -> Run:
    """Train by a recipe, evaluate base and fine-tuned model, write the report.

    recipe: a recipe, a file, or the name of a built-in one. out: the run folder, `out/<name of the
    recipe>` by default (`out/run` for a recipe made in Python); where it holds a run already a
    numbered sibling is taken. resume: continue the unfinished run in it.
    Raises UserError for what the user can fix, Interrupted after Ctrl-C: both leave a run that can
    be resumed.
    """
    grow_segments()
    from rftkit.training.request import TrainRequest
    from rftkit.training.run import train as run_training

    source = recipe if isinstance(recipe, Recipe) else find_recipe(Path(recipe))
    name = "run" if isinstance(source, Recipe) else source.stem
    request = TrainRequest(
        recipe=source,
        out=Path(out) if out else Path("out") / name,
        resume=resume,
        log=log,
        command=_command(),
    )
    return Run(run_training(request, _console(console)).folder)


def evaluate(
    checkpoint: Run | PathOrName,
    *,
    split: str | None = None,
    data: PathOrName | None = None,
    limit: int | None = None,
    style: Style | None = None,
    console: Console | None = None,
) -> Summary:
    """Base and fine-tuned model on held-out images, with the recipe they were trained by.

    checkpoint: a run, a checkpoint, an adapter, or a folder of runs, whose newest is taken.
    split, data: other images than the recipe's test split; data is a folder, a table or a recipe.
    limit: at most so many images. style: another reply style than the recipe's. An evaluation that
    was stopped is continued.
    """
    from rftkit.evaluation.run import EvalRequest, evaluate_checkpoint

    request = EvalRequest(
        split=split,
        data=Path(data) if data else None,
        limit=limit,
        style=style,
        command=_command(),
    )
    return evaluate_checkpoint(_folder(checkpoint), request, _console(console)).summary


def compare(
    *runs: Run | PathOrName,
    split: str | None = None,
    decode: Decode | None = None,
    base: bool = False,
    html: PathOrName | None = None,
) -> Comparison:
    """Runs, checkpoints, adapters or folders of evaluations on the test images they share.

    The first is the reference; base: its base model is, before all others. split: which
    evaluations to take, by default those on the recipe's test split. decode: "generate" counts free
    replies, "choices" answers by the list. html: where to write the page as well.
    Raises UserError where one is not evaluated yet, with the command that does it, and where the
    numbers would not mean the same.
    """
    from rftkit.comparison.compare import CompareRequest, found, measured
    from rftkit.comparison.page import write_page

    common = found(CompareRequest(tuple(map(_folder, runs)), split, decode, base))
    comparison = measured(common)
    if html is not None:
        write_page(Path(html), comparison, common)
    return comparison


def predict(
    checkpoint: Run | PathOrName,
    images: PathOrName | Sequence[PathOrName],
    *,
    question: str = "",
    options: str | Sequence[str] = (),
    categories: str | Sequence[str] = (),
    free: bool = False,
    abstain_at_error: float | None = None,
) -> list[Prediction]:
    """The fine-tuned model's answers for image files, in their order.

    question: what is asked, or the phrase to find, where the task has none of its own.
    options: of a multiple choice. categories: what to detect; by default all that was trained.
    Detection gives one prediction per category, unless the recipe asks for all at once.
    A closed list is answered by its likeliest label, or with `free` by what the model writes.
    abstain_at_error: the error that the answers given may have, in [0, 1): less sure ones are None,
    and `abstained` says so. Raises UserError where training held nothing out to know it from.
    """
    from rftkit.inference.predict import predict as predict_each
    from rftkit.inference.reader import Answering
    from rftkit.tasks.question import Question

    paths = [images] if isinstance(images, str | Path) else images
    asked = Question(question, _several(options), _several(categories))
    how = Answering(free, abstain_at_error, asked)
    found = predict_each(_folder(checkpoint), [Path(p) for p in paths], _console(None), how)
    return [*found]


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _folder(checkpoint: Run | PathOrName) -> Path:
    return checkpoint.folder if isinstance(checkpoint, Run) else Path(checkpoint)


def _console(console: Console | None) -> Console:
    from rich.console import Console

    return console or Console(stderr=True, emoji=False)


def _command() -> str:
    """What started Python, for the run's record."""
    return shlex.join(["python", *sys.argv])
