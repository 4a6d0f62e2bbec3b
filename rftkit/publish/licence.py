"""Under whose terms a model stands: its base's licence, as the base's own card declares it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

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
    machine is looked at: a card in the cache of the hub, or in the folder.
    """
    if declared:
        return Licence(declared, origin="declared by the author of this model")
    if base in TINY:
        return Licence("apache-2.0", origin="as rftkit, whose built-in model the base is")
    card = base_card(base)
    found = _of_card(card, "that of the base model") if card else Licence()
    own = _of_card(readme, "declared by the author of this model") if readme.is_file() else found
    return found if found.id else own


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


def _of_card(card: Path, origin: str) -> Licence:
    from huggingface_hub import ModelCard

    data: Any = ModelCard.load(card, ignore_metadata_errors=True).data
    ids = data.license if isinstance(data.license, list) else [data.license]
    name, link = (str(value or "") for value in (data.license_name, data.license_link))
    return Licence(str(ids[0]), name, link, origin) if ids[0] else Licence()
