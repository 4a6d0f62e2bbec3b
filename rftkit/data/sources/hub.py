"""Data sets of the Hugging Face hub, and local folders of parquet files or images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.core import Row
from rftkit.data.images import open_safely
from rftkit.data.online import offline_if_unreachable
from rftkit.data.paths import check_name
from rftkit.data.sources.fields import check_texts
from rftkit.data.sources.hub_objects import with_objects
from rftkit.data.sources.local_hub.card import check_card_on_the_hub
from rftkit.data.sources.local_hub.folder import built, check_folder, offline, roots_of
from rftkit.errors import DataError, HubError
from rftkit.messages import missing_column
from rftkit.recipe.sections import Data

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder
    from PIL.Image import Image


ROWS_DESCRIBED = 50
# what `datasets` raises for odd files and metadata; RuntimeError: a script
UNREADABLE = (ValueError, OSError, RuntimeError, TypeError, LookupError, AttributeError)
LABELS = ("variant", "variation")  # what copies of fine-grained sets call their `label`


@dataclass(frozen=True)
class HubImage:
    """A cell of a data set on disk, read when it is opened: only its number is in memory.

    roots: the folders into which a path in the cell may lead; the first is the data set's own.
    """

    name: str
    number: int
    table: Dataset = field(repr=False, compare=False)
    roots: tuple[str, ...] = field(repr=False, compare=False)
    index: int | None = None  # in the cell, where it holds a list

    def open(self) -> Image:
        """The image, upright, mode RGB. Raises DataError, naming itself."""
        cell = next(iter(self.table[self.number].values())) or {}
        cell = cell if self.index is None else cell[self.index] or {}
        if content := cell.get("bytes"):
            return open_safely(content, self.name)
        if path := cell.get("path"):
            return open_safely(self._file(path), f"{self.name} ({path})")
        raise DataError(f"{self.name}: no image in this row; take the row out")

    def _file(self, path: str) -> Path:
        """The file that the cell names. Raises DataError if it lies outside the data set."""
        check_name(path, self.name)
        real = os.path.realpath(Path(self.roots[0], path))
        if not any(Path(real).is_relative_to(root) for root in self.roots):
            raise DataError(
                f"{self.name}: path {path[:80]!r} leads out of {self.roots[0]}/; move the image "
                "there, or put its bytes into the table"
            )
        return Path(real)


def rows(data: Data, split: str) -> Iterator[Row]:
    """The rows of a split, kept on disk by `datasets`; class numbers become names.

    The column of images may hold lists of them. A column `objects` of boxes, as COCO's exports
    on the hub have it (`bbox` [x, y, width, height] in pixels, `category`), becomes objects.
    """
    table = _load(data.path, split)
    column = data.columns.get("image", "image")
    if column not in table.column_names:
        raise DataError(f"{data.path}: {missing_column('image', column, table.column_names)}")
    table = _with_label(table, data)
    images = _images(table, data.path, column)
    counts = _counts(images, column)
    others = [c for c, kind in table.features.items() if c != column and not _shows(kind)]
    roots = _roots(data.path)
    texts = table.select_columns(others) if others else ({} for _ in range(len(table)))
    for number, values in enumerate(_cells(texts, data.path, split)):
        location = f"{data.path}:{split}:{number}"
        count = counts[number] if counts else None
        shown = _shown(HubImage(f"{split}:{number}", number, images, roots), count, location)
        check_texts(values, location)
        row = Row(location, shown[0], _named(values, table), tuple(shown[1:]))
        yield with_objects(row, table.features) if "objects" in row.values else row


def described(path: str) -> tuple[list[str], list[str], list[dict[str, object]]]:
    """The splits of a data set, the columns of the first one, and some of its rows without images.

    Raises DataError or HubError as `rows` does.
    """
    with _built(path) as builder:
        splits = [str(split) for split in builder.config.data_files or builder.info.splits or ()]
    table = _load(path, splits[0])
    shown = [column for column, kind in table.features.items() if not _shows(kind)]
    first = table.select(range(min(len(table), ROWS_DESCRIBED)))
    values = first.select_columns(shown) if shown else ({} for _ in range(len(first)))
    rows_shown = []
    for number, row in enumerate(values):
        check_texts(row, f"{path}:{splits[0]}:{number}")
        rows_shown.append(_named(row, table))
    return splits, table.column_names, rows_shown


def _cells(
    texts: Iterable[dict[str, object]], path: str, split: str
) -> Iterator[dict[str, object]]:
    with _explained(path, split):  # a cell of JSON that is none
        yield from texts


def _with_label(table: Dataset, data: Data) -> Dataset:
    """The table, its labels in a column `label` where they have one of the other usual names.

    A recipe that names the column, and a table that has `label`, stay as they are.
    """
    names = table.column_names
    other = next((name for name in LABELS if name in names), None)
    if other is None or "label" in data.columns or "label" in names:
        return table
    return table.rename_column(other, "label")


def _images(table: Dataset, path: str, column: str) -> Dataset:
    """The column of images alone, not decoded. Raises DataError if it holds no images."""
    from datasets import Image, List, Value

    kind = table.features[column]
    inner = getattr(kind, "feature", None)  # of a list
    binary = (Value("binary"), Value("large_binary"))
    if isinstance(kind, Image) or kind in binary:
        wanted: object = Image(decode=False)
    elif isinstance(inner, Image) or inner in binary:
        wanted = List(Image(decode=False))
    else:
        raise DataError(
            f"{path}: column {column!r} holds {type(kind).__name__}, not images; "
            "set data.columns.image"
        )
    return table.select_columns([column]).cast_column(column, wanted)


def _roots(path: str) -> tuple[str, ...]:
    """Where the images of a data set may lie: a local one's folder, or what was downloaded."""
    from datasets import config
    from huggingface_hub import constants

    local = Path(path).expanduser()
    if local.exists():
        return roots_of(local)
    downloads = Path(config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_DIR)
    return os.path.realpath(constants.HF_HUB_CACHE), os.path.realpath(downloads)


def _shows(kind: object) -> bool:
    """Whether a column holds images, or other media, which `datasets` would open from any path."""
    from datasets import Json

    if isinstance(kind, Mapping):
        return any(_shows(inner) for inner in kind.values())
    inner = getattr(kind, "feature", None)  # of a list
    if inner is not None:
        return _shows(inner)
    return hasattr(kind, "decode_example") and not isinstance(kind, Json)


def _counts(images: Dataset, column: str) -> list[int] | None:
    """How many images each row has, without reading one; None where a cell holds just one."""
    from datasets import Image
    from pyarrow.compute import list_value_length

    if isinstance(images.features[column], Image):
        return None
    cells = images.with_format("arrow")[:][column]
    return [count or 0 for count in list_value_length(cells).to_pylist()]


def _shown(first: HubImage, count: int | None, location: str) -> list[HubImage]:
    """The images of a row. Raises DataError if its list is empty."""
    if count is None:
        return [first]
    if count == 0:
        raise DataError(f"{location}: no image in this row; take the row out")
    names = [first.name, *(f"{first.name}+{extra}" for extra in range(1, count))]
    return [replace(first, name=name, index=turn) for turn, name in enumerate(names)]


def _load(path: str, split: str) -> Dataset:
    with _built(path, split) as builder:
        builder.download_and_prepare()
        return builder.as_dataset(split=split)


@contextmanager
def _built(path: str, split: str = "") -> Iterator[DatasetBuilder]:
    """What loads the data set. Errors within it become a DataError or HubError of one line."""
    local = Path(path).expanduser()
    is_local = os.path.lexists(local)
    if is_local:
        check_folder(local, path)
    with _explained(path, split):
        if is_local:
            with _without_bars(), offline():
                yield built(local, path)
        else:
            with offline_if_unreachable():
                yield _on_the_hub(path)


def _on_the_hub(path: str) -> DatasetBuilder:
    """Raises DataError for a name that stands for a loader of `datasets`, or files elsewhere."""
    from datasets import load_dataset_builder
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    name, _, revision = path.removeprefix("hf://datasets/").partition("@")
    if name in _PACKAGED_DATASETS_MODULES:
        raise DataError(
            f"data.path {path!r}: no data set, but a kind of file; set data.path to an id of the "
            "hub (`owner/name`), or to a local folder"
        )
    check_card_on_the_hub(name, revision or None)
    builder = load_dataset_builder(name, revision=revision or None)
    for file in map(str, chain(*(builder.config.data_files or {}).values())):
        if not file.startswith("hf://") or "::" in file:
            raise DataError(
                f"{path}: its README names {file[:120]!r}, no file of the hub; not read"
            )
    return builder


@contextmanager
def _without_bars() -> Iterator[None]:
    """Within it `datasets` draws no bars, which stay in front of what is said of a local folder."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


@contextmanager
def _explained(path: str, split: str) -> Iterator[None]:
    """Raises DataError or HubError, in a line, for what goes wrong within it."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        yield
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
    except (DatasetsError, *UNREADABLE) as error:
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
