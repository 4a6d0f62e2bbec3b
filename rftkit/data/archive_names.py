"""Places inside archives as the user knows them: `my.zip/train.json`, not a folder of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rftkit.errors import DataError

_ARCHIVES: dict[str, str] = {}  # folder in the cache -> the archive that was unpacked into it


def remember(folder: Path, archive: Path) -> None:
    """From now on that folder is called by its archive."""
    _ARCHIVES[str(folder)] = str(archive)


def as_given(said: object) -> str:
    """A path or a line about one, with the archives in place of their folders in the cache."""
    text = str(said)
    for folder, archive in _ARCHIVES.items():
        text = text.replace(folder, archive)
    return text


@contextmanager
def as_given_in_errors() -> Iterator[None]:
    """Whatever DataError is raised inside names archives, not their folders in the cache."""
    try:
        yield
    except DataError as error:
        raise type(error)(as_given(error)) from error
