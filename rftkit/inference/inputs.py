"""The images that `rftkit predict` is given: files, folders, patterns, paths from a pipe."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rftkit.data.images import SUFFIXES
from rftkit.errors import DataError

STDIN = Path("-")


def image_files(given: Sequence[Path], lines: Iterable[str] = ()) -> list[Path]:
    """The image files that are meant, in the order given, each once.

    A folder stands for all images in it and below, by name; a pattern such as `pets/*.jpg` for
    what it matches, with `**` for folders of any depth; `-` for the paths in `lines`, one in each.
    A file that is named is taken whatever its suffix, and need not be there: whoever opens it says
    so.
    Raises DataError for a folder or a pattern without images.
    """
    named = (path for one in given for path in (_lines(lines) if one == STDIN else [one]))
    found = dict.fromkeys(file for path in named for file in _files(path))
    if not found:
        raise DataError("no images are named; give files, folders or patterns, or pipe paths to -")
    return [*found]


def _lines(lines: Iterable[str]) -> Iterator[Path]:
    return (Path(line) for line in (text.rstrip("\r\n") for text in lines) if line.strip())


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return _below(path)
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    root = Path(path.anchor)
    pattern = path.relative_to(root)
    matches = sorted(p for p in root.glob(str(pattern)) if not _hidden(p) or _hidden(path))
    files = [file for match in matches for file in (_below(match) if match.is_dir() else [match])]
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not images:
        raise DataError(f"{path}: no image fits this pattern; check it, in quotes")
    return images


def _below(folder: Path) -> list[Path]:
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not _hidden(path.relative_to(folder))
    ]
    if not files:
        raise DataError(
            f"{folder}: no images in this folder ({', '.join(SUFFIXES)}); check the path"
        )
    return sorted(files)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
