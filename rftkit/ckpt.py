"""What `--ckpt` may name: a run, a checkpoint in it, an adapter folder, a folder of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rftkit import checkpoints, runs
from rftkit.errors import ModelError
from rftkit.recipe import Recipe
from rftkit.recipe_file import dump_recipe, parse_recipe, read_text
from rftkit.runs import Run

CARD = "rftkit.json"  # recipe and labels, saved into the adapter so that its folder stands alone


@dataclass(frozen=True)
class Checkpoint:
    """An adapter, the recipe that made it, and where its evaluations go.

    run is None for an adapter folder that stands alone. note: what was chosen, if there was a
    choice. name: "" for a run's final adapter, `step-000050` for a checkpoint inside it.
    """

    adapter: Path
    recipe: Recipe
    home: Path
    run: Run | None = None
    name: str = ""
    note: str = ""


def find(place: Path) -> Checkpoint:
    """The checkpoint that `place` names; of a folder of runs, the newest that has trained.

    Raises ModelError, saying what would have been accepted.
    """
    if not place.is_dir():
        raise ModelError(
            f"--ckpt {place}: no such folder; name a run such as out/quickstart, or an adapter"
        )
    if runs.is_run(place):
        return _of_run(Run(place), "")
    owner = next((p for p in list(place.resolve().parents)[:2] if runs.is_run(p)), None)
    if (place / "adapter_config.json").is_file():
        return _inside(Run(owner), place) if owner else _alone(place)
    for run in runs.runs_under(place):
        if _final(run) or _newest_whole(run):
            return _of_run(run, f"newest run: {run.folder}")
    raise ModelError(f"--ckpt {place}: neither a run nor an adapter, and no trained run inside")


def recipe_of(run: Run) -> Recipe:
    """The recipe a run was made by, as resolved."""
    return parse_recipe(read_text(run.resolved), str(run.resolved))


def _of_run(run: Run, note: str) -> Checkpoint:
    recipe = recipe_of(run)
    if _final(run):
        return Checkpoint(run.adapter, recipe, run.evaluations, run, "", note)
    newest = _newest_whole(run)
    if newest is None:
        raise ModelError(f"{run.folder}: nothing trained here yet; `rftkit train --resume` goes on")
    said = f"{note + '; ' if note else ''}not finished, so its newest checkpoint: {newest.name}"
    return Checkpoint(newest, recipe, run.evaluations, run, newest.name, said)


def _inside(run: Run, place: Path) -> Checkpoint:
    if place.resolve() == run.adapter.resolve():
        return Checkpoint(place, recipe_of(run), run.evaluations, run)
    if harm := checkpoints.damage(place):
        raise ModelError(f"{place}: {harm}; name another checkpoint")
    return Checkpoint(place, recipe_of(run), run.evaluations, run, place.name)


def _alone(place: Path) -> Checkpoint:
    card = place / CARD
    if not card.is_file():
        raise ModelError(f"{place}: no {CARD} beside the adapter; name the run it is from")
    text = json.loads(read_text(card))["recipe"]
    return Checkpoint(place, parse_recipe(text, str(card)), place / "eval")


def write_card(adapter: Path, recipe: Recipe, labels: Sequence[str]) -> None:
    """Save recipe and labels into an adapter folder."""
    card = {"recipe": dump_recipe(recipe), "labels": list(labels)}
    (adapter / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _final(run: Run) -> bool:
    return (run.adapter / "adapter_model.safetensors").is_file()


def _newest_whole(run: Run) -> Path | None:
    found = checkpoints.in_order(run.checkpoints)
    return next((path for path in found if checkpoints.damage(path) is None), None)
