"""A model card as it is on the disk: its YAML head, which may be a stranger's, and its text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rftkit.data.sources.local_hub.card import read_yaml
from rftkit.errors import DataError, ModelError

MAX_BYTES = 5_000_000  # of a card
MAX_HEAD = 200_000  # characters; parsing them takes a few seconds at most


class Page(NamedTuple):
    """A card. head: the keys of its YAML. text: what stands below."""

    head: Mapping[str, Any]
    text: str


def read_page(path: Path) -> Page:
    """The card in a file. Raises ModelError if it cannot be read or is too large.

    The head is found as huggingface_hub does it.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    text = _text(path)
    found = REGEX_YAML_BLOCK.search(text)
    if not found:
        return Page({}, text)
    head = found.group(2)
    if len(head) > MAX_HEAD:
        raise ModelError(
            f"{path}: {len(head):,} characters between its first two lines of ---, above "
            f"{MAX_HEAD:,}; shorten it or remove the file"
        )
    try:
        return Page(read_yaml(head, str(path)), text[found.end() :])
    except DataError as error:
        raise ModelError(str(error)) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ModelError(f"{path}: above {MAX_BYTES:,} bytes; shorten it or remove the file")
        return content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: no UTF-8 text; save it as UTF-8, or remove it") from None
