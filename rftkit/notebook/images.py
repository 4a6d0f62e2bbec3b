"""Folders of images for a notebook: yours, and one of built-in images to try it with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rftkit.data import rows
from rftkit.data.images import SUFFIXES
from rftkit.data.locate import locate
from rftkit.errors import DataError
from rftkit.recipe.sections import Data


def image_folder(path: str | Path) -> Path:
    """The folder of classes that a folder or an archive holds; an archive is unpacked.

    Raises DataError if there is neither.
    """
    location = locate(str(path), "", print)
    if not location.is_dir():
        raise DataError(f"{path}: no such folder or zip; upload it, or fix the name")
    return Path(location)


def image_files(folder: str | Path, count: int) -> list[Path]:
    """Some image files of a folder of any depth, evenly spread over it."""
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    return files[:: max(1, len(files) // count)][:count]


def save_images(source: str, folder: str | Path, each: int, split: str = "train") -> Path:
    """The first `each` images of every class of a built-in set as `folder/<class>/*.png`."""
    seen: Counter[str] = Counter()
    for row in rows(Data.model_validate({"source": source}), split):
        label = str(row.values["label"])
        seen[label] += 1
        if seen[label] <= each:
            location = Path(folder) / label / f"{seen[label]}.png"
            location.parent.mkdir(parents=True, exist_ok=True)
            row.image.open().save(location)
    return Path(folder)
