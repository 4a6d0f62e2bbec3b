"""Paths of the user's data that know what messages are to call them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path


@dataclass(frozen=True, order=True)
class DataPath:
    """A file or folder of the user's data: where it is on the disk, and what messages call it.

    The two differ inside an archive, which is unpacked into the cache. `str(path)` is the name for
    messages, `my.zip/train.json`; `open(path)` and `Path(path)` take the place on the disk.
    """

    real: Path
    shown: Path

    @classmethod
    def of(cls, path: str | PathLike[str]) -> DataPath:
        """A path that is called what it is."""
        return cls(Path(path), Path(path))

    def __str__(self) -> str:
        """What messages call it."""
        return str(self.shown)

    def __fspath__(self) -> str:
        """Where it is on the disk."""
        return fspath(self.real)

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
