"""Tables that name images: CSV with a header, and JSON lines."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rftkit.core import Row
from rftkit.data import splits
from rftkit.data.images import FileImage
from rftkit.data.locate import SPLIT, locate
from rftkit.data.paths import DataPath, image_in
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.errors import DataError, Faults
from rftkit.messages import missing_column
from rftkit.recipe.sections import Column, Data

# a table with one of these columns is no table of classes
UNCLASSED: tuple[Column, ...] = ("question", "options", "answer", "phrase", "box", "boxes")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # in JSON: half of a letter beyond 16 bits, or both
NAME_IT = "write it, or take all of them out"  # the remedy for a split that some lack


class Record(NamedTuple):
    """One line of a table. `location` is what an error calls it (`pets.csv:17`)."""

    location: str
    values: Mapping[str, object]


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """The rows of a CSV file (comma, header, UTF-8) or of JSON lines, one object a line.

    In a folder those of `<split>.csv` or `<split>.jsonl`.
    """
    path, divided = _table(data, split)
    if divided:
        own: Sequence[Record] = _records(path, data)
    else:
        key = (data.source, path, _image_column(data))
        records = cache.once(key, lambda _: _records(path, data))
        own = _of_split(records, path, data, split, note)
    root = locate(data.images, split, note) if data.images else path.parent
    faults = Faults()
    for record in own:
        named = record.values[_image_column(data)]
        names = named if isinstance(named, list) and named else [named]
        images = list[FileImage]()
        with faults.caught():
            images += [image_in(root, name, record.location) for name in names]
        if images:
            first, *others = images
            yield Row(record.location, first, record.values, tuple(others))
    faults.raise_any()


def read_csv(path: DataPath) -> Iterator[Record]:
    """The records of a CSV file. Raises DataError, with the line, for a row that does not fit."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = _header(next(lines, []), path)
            for cells in lines:
                location = f"{path}:{lines.line_num}"
                if not cells:
                    continue
                if len(cells) != len(header):
                    fix = "put quotes around a cell that holds a comma"
                    if len(cells) < len(header):
                        fix = "write a comma for each that is empty"
                    names = f"{len(header)} column names"
                    raise DataError(f"{location}: {len(cells)} cells under {names}; {fix}")
                yield Record(location, dict(zip(header, cells, strict=True)))
        except csv.Error as error:
            raise DataError(f"{path}:{lines.line_num}: not CSV ({error}); fix the line") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8; save the table as UTF-8") from error


def read_jsonl(path: DataPath) -> Iterator[Record]:
    """The records of a JSON lines file. Raises DataError, with the line, for what is no object."""
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            location = f"{path}:{number}"
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{location}: not JSON ({error}); fix the line") from error
            if not isinstance(values, dict):
                raise DataError(f'{location}: not a JSON object; write {{"image": …, "label": …}}')
            check_letters(text, values, location)
            yield Record(location, values)


def check_letters(content: bytes, values: object, location: str) -> None:
    """Raises DataError for JSON texts with half of a surrogate pair, which nothing can encode."""
    if not SURROGATE.search(content):
        return
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DataError(f"{location}: {half!a} is half of a letter; fix the text") from error


def _table(data: Data, split: str) -> tuple[DataPath, bool]:
    """The table to read, and whether it holds this split alone."""
    path, suffix = locate(data.path, split), f".{data.source}"
    if path.is_dir():
        table = path / f"{split}{suffix}"
        if not table.is_file():
            there = ", ".join(sorted(p.name for p in path.glob(f"*{suffix}"))) or "none"
            raise DataError(f"{path}/: no {table.name} ({suffix} files: {there}); name a table")
        return table, True
    if not path.is_file():
        raise DataError(f"{path}: no such file; set data.path to the table")
    return path, SPLIT in data.path


def _records(path: DataPath, data: Data) -> list[Record]:
    """All records of a table, each with an image column. Raises DataError if there is none."""
    records = [*READERS[data.source](path)]
    if not records:
        raise DataError(f"{path}: no rows; add a line for each image")
    image = _image_column(data)
    for record in records:
        if image not in record.values:
            raise DataError(f"{record.location}: {missing_column('image', image, record.values)}")
    return records


def _of_split(
    records: Sequence[Record], path: DataPath, data: Data, split: str, note: SourceNotes
) -> Sequence[Record]:
    """The records whose column `split` says so; without that column, of a seeded split."""
    if any("split" in record.values for record in records):
        return _marked(records, path, split)
    test = splits.is_test(data, split, str(path))
    label = data.columns.get("label", "label")
    roles = (data.columns.get(role, role) for role in UNCLASSED)
    classless = "answer" in data.columns and label not in records[0].values
    if classless or any(role in records[0].values for role in roles):
        note.note_held_out(f"{path}: {splits.IMAGES_NOTE}")
        names = (_image(record, data) for record in records)
        held_out = splits.held_out_images(names, str(path))
    else:
        note.note_held_out(f"{path}: {splits.NOTE}")
        if bad := next((r for r in records if not _is_label(r.values.get(label))), None):
            return [bad]  # its task refuses it, and says why
        images_by_class: dict[str, list[str]] = {}
        for record in records:
            name = " ".join(str(record.values[label]).split())
            images_by_class.setdefault(name, []).append(_image(record, data))
        held_out = splits.held_out(images_by_class, str(path))
    return [record for record in records if (_image(record, data) in held_out) == test]


def _marked(records: Sequence[Record], path: DataPath, split: str) -> list[Record]:
    """The records that name this split in their column `split`, which every row then needs."""
    by_split: dict[str, list[Record]] = {}
    for record in records:
        name = str(record.values.get("split") or "").strip()
        if not name:
            raise DataError(f"{record.location}: no split, and other rows have one; {NAME_IT}")
        by_split.setdefault(name, []).append(record)
    if split not in by_split:
        there = ", ".join(repr(name) for name in sorted(by_split)[:10])
        raise DataError(f"{path}: no row of split {split!r}; column 'split' holds {there}")
    return by_split[split]


def _is_label(value: object) -> bool:
    """Whether a task takes it as a label; if not, the task says why."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and bool(value.strip()))


def _image_column(data: Data) -> str:
    return data.columns.get("image", "image")


def _image(record: Record, data: Data) -> str:
    """The path of the record's image; of its first one, if it has several."""
    value = record.values[_image_column(data)]
    return str(value[0] if isinstance(value, list) and value else value)


def _header(cells: list[str], path: DataPath) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(f"{path}: one column only: {names[0]!r}; is the delimiter ','? Save it so")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: two columns are called {name!r}; rename one")
    return names


READERS: Mapping[str, Callable[[DataPath], Iterator[Record]]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
}
