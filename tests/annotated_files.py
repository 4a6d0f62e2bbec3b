"""Small annotated data sets that tests write, and how they read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from rftkit.core import Row
from rftkit.data import rows
from rftkit.data.source_notes import SourceNotes
from rftkit.errors import DataError
from rftkit.recipe.sections import Data


def write_image(path: Path, width: int = 20, height: int = 10, turn: int = 1) -> Path:
    """An image of that size as stored; turn: its EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", (width, height)).save(path, exif=exif)
    return path


def written(path: Path, value: object) -> Path:
    """A file of that text, of JSON, or of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl" and isinstance(value, list):
        value = "".join(json.dumps(entry) + "\n" for entry in value)
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def read(source: str, path: Path | str, split: str = "train", **more: object) -> list[Row]:
    """The rows of a split."""
    data = Data.model_validate({"source": source, "path": str(path), **more})
    return list(rows(data, split))


def noted(source: str, path: Path | str, split: str = "train", **more: object) -> list[str]:
    """What is noted while a split is read."""
    notes = SourceNotes()
    data = Data.model_validate({"source": source, "path": str(path), **more})
    list(rows(data, split, notes))
    return notes.lines


def refusal(source: str, path: Path | str, split: str = "train", **more: object) -> str:
    """The one line of the error."""
    with pytest.raises(DataError) as caught:
        read(source, path, split, **more)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    return line


def names(found: list[Row]) -> list[str]:
    """The images of rows."""
    return [row.image.name for row in found]
