"""What a word of `rftkit compare` names: a run, a checkpoint, an adapter, an evaluation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from rftkit.errors import UserError
from rftkit.messages import runnable
from rftkit.metrics.files import REPORT, SAMPLES, SUMMARY
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.adapter import CARD, read_card, recipe_of
from rftkit.runs.run import RunFolder, is_run, runs_under

ADAPTER = "adapter_config.json"
STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Located:
    """One of what is compared, on disk.

    given: as it was named. evaluation: the folder of its answers, which may not be there yet.
    recipe: what trained it; None where only the answers are there. step: of a checkpoint within
    its run; None of what a run ended with. trained: what `rftkit eval --ckpt` is to be given, which
    is not an evaluation's folder; None where it is not known.
    """

    given: Path
    evaluation: Path
    name: str
    run: RunFolder | None = None
    recipe: Recipe | None = None
    step: int | None = None
    note: str = ""
    trained: Path | None = None

    @property
    def is_evaluation(self) -> bool:
        """Whether an evaluation was named, rather than what it is of."""
        return self.trained != self.given

    @property
    def samples(self) -> Path:
        """The file of its answers."""
        return self.evaluation / SAMPLES


def locate(given: Path, split: str | None) -> Located:
    """The evaluation that `given` names; of a run or adapter, that on a split.

    split: None takes the recipe's test split. Raises UserError for what is none of these.
    """
    if not given.exists():
        raise UserError(f"{given}: not found; name a run, an adapter or an evaluation's folder")
    if given.is_file():
        return _of_file(given)
    if is_run(given):
        return _of_run(RunFolder(given), split, given)
    if (given / SAMPLES).is_file():
        return _of_evaluation(given, given)
    if (given / ADAPTER).is_file():
        return _of_adapter(given, split)
    if (given / SUMMARY).is_file():
        raise UserError(
            f"{given}: {SUMMARY} without {SAMPLES}; a comparison needs the replies, so evaluate "
            "again with `rftkit eval`"
        )
    return _of_newest(given, split)


def eval_command(located: Located, split: str | None) -> str:
    """The command that makes the evaluation of a run or an adapter, or ends it."""
    chosen = ("--split", split) if split else ()
    return runnable("eval", "--ckpt", str(located.trained or "RUN"), *chosen)


def _of_file(given: Path) -> Located:
    if given.name not in (SAMPLES, SUMMARY, REPORT) or not (given.parent / SAMPLES).is_file():
        raise UserError(f"{given}: no evaluation's {SAMPLES}; name a run or an evaluation's folder")
    return _of_evaluation(given.parent, given)


def _of_run(run: RunFolder, split: str | None, given: Path) -> Located:
    recipe = recipe_of(run)
    evaluation = run.evaluations / (split or recipe.data.test_split)
    return Located(given, evaluation, given.resolve().name, run, recipe, trained=given)


def _of_evaluation(folder: Path, given: Path) -> Located:
    """The folder of an evaluation; run and recipe are known where it lies in a run or adapter."""
    folder = folder.resolve()
    owner = folder.parent.parent
    step = STEP.search(folder.name)
    if folder.parent.name == "eval" and is_run(owner):
        run = RunFolder(owner)
        recipe = recipe_of(run)
        main = folder == run.main_evaluation(recipe)
        name = owner.name if main else f"{owner.name}/{folder.name}"
        trained = run.checkpoints / step[0] if step else owner
        number = int(step[1]) if step else None
        return Located(given, folder, name, run, recipe, number, trained=trained)
    if folder.parent.name == "eval" and (owner / CARD).is_file():
        recipe = parse_recipe(read_card(owner).recipe, str(owner / CARD))
        return Located(given, folder, f"{owner.name}/{folder.name}", recipe=recipe, trained=owner)
    return Located(given, folder, folder.name)


def _of_adapter(given: Path, split: str | None) -> Located:
    """An adapter: a run's own, a checkpoint in a run, or a folder that stands alone."""
    here = given.resolve()
    owner = next((p for p in list(here.parents)[:2] if is_run(p)), None)
    if owner is None:
        recipe = parse_recipe(read_card(given).recipe, str(given / CARD))
        evaluation = given / "eval" / (split or recipe.data.test_split)
        return Located(given, evaluation, here.name, recipe=recipe, trained=given)
    run = RunFolder(owner)
    if here == run.adapter.resolve():
        return replace(_of_run(run, split, given), name=owner.name)
    recipe, step = recipe_of(run), STEP.fullmatch(here.name)
    evaluation = run.evaluations / f"{split or recipe.data.test_split}-{here.name}"
    name = f"{owner.name}/{here.name}"
    number = int(step[1]) if step else None
    return Located(given, evaluation, name, run, recipe, number, trained=given)


def _of_newest(given: Path, split: str | None) -> Located:
    listed = runs_under(given)
    if not listed:
        raise UserError(
            f"{given}: neither a run, an adapter nor an evaluation, and no run inside; "
            "`rftkit runs` lists them"
        )
    run = listed[0]
    note = f"{given}: its newest run, {run.folder}"
    return replace(_of_run(run, split, run.folder), note=note)
