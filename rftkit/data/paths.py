"""Places in the user's files: what may be read, what it is called, and what a wrong name meant."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from rftkit.data.data_path import DataPath
from rftkit.data.images import SUFFIXES, FilePicture
from rftkit.errors import DataError

Note = Callable[[str], None]


def silent(_: str) -> None:
    """Takes a note and says nothing."""


def picture_in(root: DataPath, value: object, place: str) -> FilePicture:
    """The picture that a table names, by its path relative to `root`.

    Raises DataError for URLs, absolute paths, paths or links that leave `root`, missing files.
    """
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: no picture named; every row needs a path in its image column")
    if "://" in value or value.startswith("data:"):
        raise DataError(f"{place}: {value[:80]!r} is a URL; download it and name the file")
    if Path(value).is_absolute() or PureWindowsPath(value).drive:
        raise DataError(f"{place}: {value!r} is absolute; name it relative to {root}/")
    name = os.path.normpath(value)
    if Path(name).parts[:1] == ("..",):
        raise DataError(f"{place}: {value!r} leaves {root}/; move the picture below that folder")
    check_name(name, place)
    path = root / name
    stay_inside(path, root, place)
    if not _is_file(path):
        raise DataError(f"{place}: no file {name!r} below {root}/; check the path")
    return FilePicture(path, PurePosixPath(name).as_posix())


def by_stem(folder: DataPath) -> dict[str, list[str]]:
    """The names of a folder's pictures, by the name without its ending."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem, []).append(path.name)
    return found


def stay_inside(path: DataPath, root: DataPath, place: str) -> None:
    """Raises DataError if `path` is, or goes through, a link that leaves `root`."""
    inside = _real(Path(root).absolute())
    if os.path.commonpath([inside, os.path.realpath(path)]) != inside:
        raise DataError(f"{place}: {path} is a link that leaves {root}/; copy the files instead")


@lru_cache(maxsize=64)  # asked for once per picture; each answer takes a look at every parent
def _real(root: Path) -> str:
    return os.path.realpath(root)


def check_name(name: str, place: str) -> None:
    """Raises DataError if a file name holds control characters or is not UTF-8."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise DataError(f"{place}: file name {name!a} holds unreadable characters; rename it")


def _is_file(path: DataPath) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False
