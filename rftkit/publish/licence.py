"""Under whose terms a model stands: its base's licence, as the base's own card declares it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rftkit.errors import ModelError
from rftkit.publish.front_matter import read_page
from rftkit.recipe.sections import TINY

UNKNOWN = "unknown: look at the base"


class Licence(NamedTuple):
    """id: the hub's identifier, such as `apache-2.0`; "" where it is not known.

    name, link: of one that is on no list (`other`). origin: who says so, for people.
    """

    id: str = ""
    name: str = ""
    link: str = ""
    origin: str = ""

    @property
    def words(self) -> str:
        """As the card says it."""
        if not self.id:
            return UNKNOWN
        shown = f"{self.id} ({self.name})" if self.name else self.id
        shown += f", <{self.link}>" if self.link.startswith("http") else ""
        return f"{shown}, {self.origin}"


def licence_of(base: str, readme: Path, declared: str = "") -> Licence:
    """The licence that `declared` names, else of the base model's card, else of `readme`.

    base: a hub id, `@revision` and all, a local folder, or a built-in model. Only what is on this
    machine is looked at: a card in the cache of the hub, or in the folder. Raises ModelError for a
    card that cannot be read.
    """
    if declared:
        return Licence(declared, origin="declared by the author of this model")
    if base in TINY:
        return Licence("apache-2.0", origin="as rftkit, whose built-in model the base is")
    card = base_card(base)
    found = _of_base(card) if card else Licence()
    if found.id or not readme.is_file():
        return found
    return _of_card(readme, "declared by the author of this model")


def base_card(base: str) -> Path | None:
    """The README.md of a base model, if it is on this machine."""
    folder = Path(base).expanduser()
    if folder.is_dir():
        own = folder / "README.md"
        return own if own.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    name, _, revision = base.partition("@")
    try:
        found = try_to_load_from_cache(name, "README.md", revision=revision or None)
    except HFValidationError:  # the name of a folder that is not here
        return None
    return Path(found) if isinstance(found, str) else None


def _of_base(card: Path) -> Licence:
    try:
        return _of_card(card, "that of the base model")
    except ModelError as error:
        raise ModelError(f"{error}, or name the licence with --license") from None


def _of_card(card: Path, origin: str) -> Licence:
    """What a card declares, where it does so by a text."""
    head = read_page(card).head
    first = head.get("license")
    if isinstance(first, list):
        first = first[0] if first else None
    name, link = (
        value if isinstance(value, str) else ""
        for value in (head.get("license_name"), head.get("license_link"))
    )
    return Licence(first, name, link, origin) if isinstance(first, str) and first else Licence()
