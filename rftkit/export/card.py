"""What an export says of itself: a README for people, rftkit_export.json for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rftkit import __version__, files
from rftkit.errors import ModelError
from rftkit.export.proof import PROOF
from rftkit.export.request import Kind
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe, parse_recipe
from rftkit.runs.adapter import EXPORT_CARD

CARD = EXPORT_CARD  # not rftkit.json, which says that a model is a built-in one
FORMAT = 1  # of the card; a newer one is refused
KINDS: tuple[Kind, ...] = ("merged", "gguf", "ollama", "vllm")


class ExportCard(NamedTuple):
    """An export, as its folder says. prompt: one that it was trained on, as an example.

    template: what the base's chat template is given beside the messages, {"enable_thinking": …} or
    nothing. files: name -> what it is. proved: whether held-out images were answered as by the
    adapter; None where nobody looked.
    """

    kind: Kind
    recipe: Recipe
    labels: tuple[str, ...]
    aliases: Mapping[str, str]
    prompt: str
    prefill: str
    template: Mapping[str, bool]
    files: Mapping[str, str]
    proved: bool | None


def write_card(folder: Path, card: ExportCard, copied: Mapping[str, str]) -> None:
    """Save it beside the weights. copied: hash of each file that is the base's."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "rftkit": __version__,
        "created": files.now(),
        **card._asdict(),
        "recipe": dump_recipe(card.recipe),
        "labels": list(card.labels),
        "aliases": dict(card.aliases),
        "template": dict(card.template),
        "files": dict(card.files),
        "copied_sha256": dict(copied),
    }
    text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    files.write_atomically(folder / CARD, text)


def exported_card(folder: Path) -> ExportCard:
    """What an exported folder says of itself: its recipe, labels, prompt and files.

    Raises ModelError if it is no export, is damaged, of a newer rftkit, or failed its proof.
    """
    path = folder / CARD
    if not path.is_file():
        raise ModelError(f"{folder}: no {CARD}: not a folder that `rftkit export` wrote")
    try:
        held = json.loads(path.read_text("utf-8"))
        if int(held["format"]) > FORMAT:
            raise ModelError(f"{folder}: written by a newer rftkit ({held['rftkit']}); upgrade it")
        card = _read(held, path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: damaged ({type(error).__name__}: {error}); export again"
        ) from None
    if card.proved is False:
        raise ModelError(f"{folder}: failed its proof, see {folder / PROOF}; export again")
    if missing := [name for name in card.files if not (folder / name).is_file()]:
        raise ModelError(f"{folder}: {missing[0]} is missing; export again")
    return card


def _read(held: Mapping[str, Any], path: Path) -> ExportCard:
    kind = next(kind for kind in KINDS if kind == str(held["kind"]))
    proved = held["proved"]
    return ExportCard(
        kind=kind,
        recipe=parse_recipe(str(held["recipe"]), str(path)),
        labels=tuple(map(str, held["labels"])),
        aliases=dict(held["aliases"]),
        prompt=str(held["prompt"]),
        prefill=str(held["prefill"]),
        template=dict(held.get("template", {})),
        files=dict(held["files"]),
        proved=None if proved is None else bool(proved),
    )
