"""Paths of the user's data: what messages call them, and which may be read."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from rftkit.data.images import SUFFIXES, FileImage
from rftkit.errors import DataError

Note = Callable[[str], None]


@dataclass(frozen=True, order=True)
class DataPath:
    """A file or folder of the user's data: where it is on the disk, and what messages call it.

    The two differ inside an archive, which is unpacked into the cache. `str(path)` is the name for
    messages, `my.zip/train.json`; `open(path)` and `Path(path)` take the place on the disk.
    """

    real: Path
    shown: Path

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> DataPath:
        """A path that is called what it is."""
        return cls(Path(path), Path(path))

    def __str__(self) -> str:
        """What messages call it."""
        return str(self.shown)

    def __fspath__(self) -> str:
        """Where it is on the disk."""
        return os.fspath(self.real)

    def __truediv__(self, inside: str | Path) -> DataPath:
        """A path below it."""
        return DataPath(self.real / inside, self.shown / inside)

    @property
    def name(self) -> str:
        """The last part."""
        return self.shown.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self.shown.stem

    @property
    def suffix(self) -> str:
        """The suffix of the last part, with its dot; "" if there is none."""
        return self.shown.suffix

    @property
    def parent(self) -> DataPath:
        """The folder that it is in."""
        return DataPath(self.real.parent, self.shown.parent)

    def with_name(self, name: str) -> DataPath:
        """The path beside it of that name."""
        return self.parent / name

    def exists(self) -> bool:
        """Whether it is there."""
        return self.real.exists()

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.real.is_dir()

    def is_file(self) -> bool:
        """Whether it is a file. Raises OSError for a name that no file can have."""
        return self.real.is_file()

    def is_symlink(self) -> bool:
        """Whether it is a link."""
        return self.real.is_symlink()

    def iterdir(self) -> Iterator[DataPath]:
        """What is in the folder, in no order."""
        return (self / path.name for path in self.real.iterdir())

    def glob(self, pattern: str) -> Iterator[DataPath]:
        """What is below the folder and fits the pattern, in no order."""
        return (self / path.relative_to(self.real) for path in self.real.glob(pattern))

    def relative_to(self, folder: DataPath) -> Path:
        """The way to it from a folder that it is in. Raises ValueError if it is in another one."""
        return self.real.relative_to(folder.real)

    def is_relative_to(self, folder: DataPath) -> bool:
        """Whether it is that folder or below it."""
        return self.real.is_relative_to(folder.real)


def silent(_: str) -> None:
    """Takes a note and says nothing."""


def image_in(root: DataPath, value: object, location: str) -> FileImage:
    """The image that a table names, by its path relative to `root`.

    Raises DataError for URLs, absolute paths, paths or links that leave `root`, missing files.
    """
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{location}: no image named; every row needs a path in its image column")
    if "://" in value or value.startswith("data:"):
        raise DataError(f"{location}: {value[:80]!r} is a URL; download it and name the file")
    if Path(value).is_absolute() or PureWindowsPath(value).drive:
        raise DataError(f"{location}: {value!r} is absolute; name it relative to {root}/")
    name = os.path.normpath(value)
    if Path(name).parts[:1] == ("..",):
        raise DataError(f"{location}: {value!r} leaves {root}/; move the image below that folder")
    check_name(name, location)
    path = root / name
    stay_inside(path, root, location)
    if not _is_file(path):
        raise DataError(f"{location}: no file {name!r} below {root}/; check the path")
    return FileImage(path, PurePosixPath(name).as_posix())


def by_stem(folder: DataPath) -> dict[str, list[str]]:
    """The names of a folder's images, by the name without its ending."""
    files: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            files.setdefault(path.stem, []).append(path.name)
    return files


def stay_inside(path: DataPath, root: DataPath, location: str) -> None:
    """Raises DataError if `path` is, or goes through, a link that leaves `root`."""
    inside = _real(Path(root).absolute())
    if os.path.commonpath([inside, os.path.realpath(path)]) != inside:
        raise DataError(f"{location}: {path} is a link that leaves {root}/; copy the files instead")


@lru_cache(maxsize=64)  # asked for once per image; each answer takes a look at every parent
def _real(root: Path) -> str:
    return os.path.realpath(root)


def check_name(name: str, location: str) -> None:
    """Raises DataError if a file name holds control characters or is not UTF-8."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise DataError(f"{location}: file name {name!a} holds unreadable characters; rename it")


def _is_file(path: DataPath) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False
