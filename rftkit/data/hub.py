"""Data sets of the Hugging Face hub, and local folders of parquet files or pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.core import Row
from rftkit.data.images import open_safely
from rftkit.data.online import offline_if_unreachable
from rftkit.data.paths import Note, missing_column, silent
from rftkit.errors import DataError, HubError
from rftkit.recipe import Data

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image


@dataclass(frozen=True)
class HubPicture:
    """A cell of a data set on disk, read when it is opened: only its number is in memory."""

    name: str
    number: int
    table: Dataset = field(repr=False, compare=False)

    def open(self) -> Image:
        """The picture, upright, mode RGB. Raises DataError, naming itself."""
        cell = next(iter(self.table[self.number].values())) or {}
        if content := cell.get("bytes"):
            return open_safely(content, self.name)
        if path := cell.get("path"):
            return open_safely(Path(path), f"{self.name} ({path})")
        raise DataError(f"{self.name}: no picture in this row; take the row out")


def rows(data: Data, split: str, note: Note = silent) -> Iterator[Row]:
    """The rows of a split, kept on disk by `datasets`; class numbers become names."""
    from datasets import Image

    table = _load(data.path, split)
    column = data.columns.get("image", "image")
    for role in ("image", "label"):
        wanted = dict(data.columns).get(role, role)
        if wanted not in table.column_names:
            raise DataError(f"{data.path}: {missing_column(role, wanted, table.column_names)}")
    if not isinstance(table.features[column], Image):
        kind = type(table.features[column]).__name__
        raise DataError(
            f"{data.path}: column {column!r} holds {kind}, not pictures; set data.columns.image"
        )
    pictures = table.select_columns([column]).cast_column(column, Image(decode=False))
    others = [c for c, kind in table.features.items() if not isinstance(kind, Image)]
    for number, values in enumerate(table.select_columns(others)):
        place = f"{data.path}:{split}:{number}"
        picture = HubPicture(f"{split}:{number}", number, pictures)
        yield Row(place, picture, _named(values, table))


def _load(path: str, split: str) -> Dataset:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    local = Path(path).expanduser()
    name, _, revision = (str(local), "", "") if local.exists() else path.partition("@")
    try:
        with nullcontext() if local.exists() else offline_if_unreachable():
            return load_dataset(name, revision=revision or None, split=split)
    except DatasetNotFoundError as error:
        raise DataError(
            f"{path}: no such data set, or it is private; check the id, or log in with "
            "`hf auth login`"
        ) from error
    except ConnectionError as error:
        raise HubError(
            f"{path}: the hub cannot be reached; go online once, or set data.path to a local "
            "folder (HF_HUB_OFFLINE=1 uses what was downloaded before)"
        ) from error
    except (DatasetsError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: split {split!r} cannot be read ({reason}); check data.path and data.splits "
            '(`["train[:80%]", "train[80%:]"]` divides a single split)'
        ) from error


def _named(values: Mapping[str, object], table: Dataset) -> dict[str, object]:
    """The values of a row, class numbers as names; -1, the hub's 'unknown', as None."""
    from datasets import ClassLabel

    named = dict(values)
    for column, value in values.items():
        kind = table.features[column]
        if isinstance(kind, ClassLabel) and isinstance(value, int):
            named[column] = kind.int2str(value) if value >= 0 else None
    return named
