"""What `--ckpt` may name: a run, a checkpoint in it, an adapter folder, a folder of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rftkit import files
from rftkit.errors import ModelError
from rftkit.messages import in_short
from rftkit.recipe.resolve import moved_along
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe, parse_recipe, read_text
from rftkit.runs import checkpoints
from rftkit.runs.checkpoints import WEIGHTS
from rftkit.runs.run import RunFolder, is_run, runs_under

EXPORT_CARD = "rftkit_export.json"  # which `rftkit export` puts into its folders
CONFIG = "adapter_config.json"
README = "README.md"  # the model card
REMEDY = "take it from a copy, or train again"
CARD = "rftkit.json"  # recipe and labels, saved into the adapter so that its folder stands alone


class Seal(NamedTuple):
    """What an adapter was when it was saved; empty in one of an older rftkit.

    weights: SHA-256 of its file. alpha: of LoRA, which scales the weights. base: a hash of the
    model it was trained on, where that is in a folder of this machine.
    """

    weights: str = ""
    alpha: float | None = None
    base: str = ""


class Card(NamedTuple):
    """What an adapter folder says of itself: the recipe as TOML, the labels, their other names."""

    recipe: str
    labels: tuple[str, ...]
    aliases: Mapping[str, str]
    seal: Seal = Seal()


@dataclass(frozen=True)
class Checkpoint:
    """An adapter, the recipe that made it, and where its evaluations go.

    run is None for an adapter folder that stands alone. note: what was chosen, if there was a
    choice. name: "" for a run's final adapter, `step-000050` for a checkpoint inside it.
    """

    adapter: Path
    recipe: Recipe
    home: Path
    run: RunFolder | None = None
    name: str = ""
    note: str = ""


def find(location: Path) -> Checkpoint:
    """The checkpoint that `location` names; of a folder of runs, the newest that has trained.

    Raises ModelError, saying what would have been accepted.
    """
    if not location.is_dir():
        what = "a file, not a folder" if location.exists() else "no such folder on this machine"
        raise ModelError(
            f"--ckpt {location}: {what}; name a run such as out/quickstart, or an adapter folder"
        )
    if is_run(location):
        return _of_run(RunFolder(location), "")
    owner = next((p for p in list(location.resolve().parents)[:2] if is_run(p)), None)
    if (location / CONFIG).is_file():
        return _inside(RunFolder(owner), location) if owner else _alone(location)
    if (location / EXPORT_CARD).is_file():
        whose = f"its run, {_from_here(owner)}" if owner else "the run that it is from"
        raise ModelError(
            f"--ckpt {location}: is an exported model, for other programs; its README.md says how "
            f"they run it. Name {whose}"
        )
    for run in runs_under(location):
        if _final(run) or _newest_whole(run):
            return _of_run(run, f"newest run: {run.folder}")
    raise ModelError(
        f"--ckpt {location}: neither a run nor an adapter, and no trained run inside; "
        "name a run such as out/quickstart, an adapter folder, or the folder of your runs"
    )


def recipe_of(run: RunFolder) -> Recipe:
    """The recipe a run was made by, as resolved; its paths follow a run that moved with its data.

    Raises UserError if a newer rftkit wrote it.
    """
    was = run.status().get("folder")
    recipe = parse_recipe(read_text(run.resolved), str(run.resolved))
    now = run.folder.resolve()
    return recipe if not was or Path(was) == now else moved_along(recipe, Path(was), now)


def _of_run(run: RunFolder, note: str) -> Checkpoint:
    recipe = recipe_of(run)
    if _final(run):
        _check_weights(run.adapter)
        return Checkpoint(run.adapter, recipe, run.evaluations, run, "", note)
    newest = _newest_whole(run)
    if newest is None:
        raise ModelError(
            f"{run.folder}: nothing trained here yet; `rftkit train --resume` continues"
        )
    text = f"{note + '; ' if note else ''}not finished, so its newest checkpoint: {newest.name}"
    return Checkpoint(newest, recipe, run.evaluations, run, newest.name, text)


def _inside(run: RunFolder, location: Path) -> Checkpoint:
    if location.resolve() == run.adapter.resolve():
        _check_weights(location)
        return Checkpoint(location, recipe_of(run), run.evaluations, run)
    if harm := checkpoints.damage(location):
        raise ModelError(f"{location}: {harm}; name another checkpoint")
    _check_weights(location)
    return Checkpoint(location, recipe_of(run), run.evaluations, run, location.name)


def _alone(location: Path) -> Checkpoint:
    _check_weights(location)
    recipe = parse_recipe(read_card(location).recipe, str(location / CARD))
    return Checkpoint(location, recipe, location / "eval")


def damage(adapter: Path) -> str | None:
    """What is wrong with a run's final adapter, in words; None if it is as it was saved."""
    try:
        read_card(adapter)
        _check_weights(adapter)
    except ModelError as error:
        return str(error)
    return None


def _check_weights(adapter: Path) -> None:
    if not (adapter / WEIGHTS).is_file():
        raise ModelError(f"{adapter}: no {WEIGHTS}; pickled weights are not read")
    if not (adapter / CONFIG).is_file():
        raise ModelError(f"{adapter}: no {CONFIG}; {REMEDY}")
    if harm := checkpoints.too_large(adapter):
        raise ModelError(f"{adapter}: {harm}; {REMEDY}")
    saved = read_card(adapter).seal if (adapter / CARD).is_file() else Seal()
    if saved.weights and (now := _seal(adapter, saved.base)) != saved:
        changed = WEIGHTS if now.weights != saved.weights else CONFIG
        raise ModelError(
            f"{adapter}: {changed} has changed since it was saved; take it from a copy, name a "
            "checkpoint of its run, or train again"
        )


def _seal(adapter: Path, base: str = "") -> Seal:
    """Of what lies in an adapter folder now."""
    try:
        alpha = json.loads((adapter / CONFIG).read_text("utf-8")).get("lora_alpha")
    except (OSError, ValueError, AttributeError, RecursionError):  # whoever loads it says so
        alpha = None
    known = alpha if isinstance(alpha, int | float) else None
    return Seal(files.sha256(adapter / WEIGHTS), known, base)


def base_of(ckpt: Checkpoint) -> str:
    """The hash of the model that it was trained on; "" where nobody kept it."""
    if ckpt.name and ckpt.run:  # a checkpoint has no card
        return str(ckpt.run.status().get("fingerprint", {}).get("base model", ""))
    return read_card(ckpt.adapter).seal.base


def labels_of(ckpt: Checkpoint) -> tuple[str, ...]:
    """The labels that the model was trained with, as saved beside the adapter."""
    if ckpt.name and ckpt.run:  # a checkpoint has no card
        return tuple(ckpt.run.status()["labels"])
    return read_card(ckpt.adapter).labels


def aliases_of(ckpt: Checkpoint) -> dict[str, str]:
    """Other spelling -> label, as the model was trained with."""
    if ckpt.name and ckpt.run:
        return dict(ckpt.run.status().get("aliases", {}))
    return dict(read_card(ckpt.adapter).aliases)


def write_card(
    adapter: Path,
    recipe: Recipe,
    labels: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    base: str = "",
) -> None:
    """Save recipe and labels into an adapter folder; with it the adapter is complete.

    base: a hash of the model that it was trained on.
    """
    seal = _seal(adapter, base) if (adapter / WEIGHTS).is_file() else Seal()
    card = Card(dump_recipe(recipe), tuple(labels), aliases or {}, seal)
    files.write_atomically(adapter / CARD, card_text(card))


def renew_card(adapter: Path, recipe: Recipe) -> None:
    """Put another recipe into the card of an adapter, whose weights stay what they were."""
    card = read_card(adapter)._replace(recipe=dump_recipe(recipe))
    files.write_atomically(adapter / CARD, card_text(card))


def card_text(card: Card) -> str:
    """The text of `rftkit.json`."""
    labels, aliases = list(card.labels), dict(card.aliases)
    held: dict[str, object] = {"recipe": card.recipe, "labels": labels, "aliases": aliases}
    if card.seal.weights:
        held |= {"sha256": card.seal.weights, "lora_alpha": card.seal.alpha}
    if card.seal.base:
        held |= {"base_sha256": card.seal.base}
    return json.dumps(held, ensure_ascii=False, indent=1) + "\n"


def read_card(adapter: Path) -> Card:
    """What `write_card` saved. Raises ModelError if it is not there, or damaged."""
    card = adapter / CARD
    if not card.is_file():
        raise ModelError(f"{adapter}: no {CARD} beside the adapter; name the run it is from")
    try:
        held = json.loads(card.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{card}: damaged ({error}); {REMEDY}") from None
    kinds = {"recipe": str, "labels": list, "aliases": dict, "sha256": str, "base_sha256": str}
    held = held if isinstance(held, dict) else {}
    whole = {"aliases": {}, "sha256": "", "base_sha256": "", **held}  # older cards have less
    for name, kind in kinds.items():
        if not isinstance(whole.get(name), kind):
            reason = f"{name} is {in_short(whole.get(name), 60)}"
            raise ModelError(f"{card}: damaged ({reason}); {REMEDY}")
    seal = Seal(whole["sha256"], whole.get("lora_alpha"), whole["base_sha256"])
    return Card(whole["recipe"], tuple(map(str, whole["labels"])), whole["aliases"], seal)


def _from_here(path: Path) -> Path:
    """The path from the current folder, if it lies there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _final(run: RunFolder) -> bool:
    return (run.adapter / WEIGHTS).is_file() and (run.adapter / CARD).is_file()


def _newest_whole(run: RunFolder) -> Path | None:
    checkpoint_list = checkpoints.in_order(run.checkpoints)
    return next((path for path in checkpoint_list if checkpoints.damage(path) is None), None)
