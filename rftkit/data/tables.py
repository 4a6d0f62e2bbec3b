"""Tables that name pictures: CSV with a header, and JSON lines."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from rftkit.core import Row
from rftkit.data import splits
from rftkit.data.paths import Note, picture_in, silent
from rftkit.data.places import SPLIT, place_of
from rftkit.errors import DataError
from rftkit.hints import missing_column
from rftkit.sections import Column, Data

# a table with one of these columns is no table of classes
UNCLASSED: tuple[Column, ...] = ("question", "options", "answer", "phrase", "box", "boxes")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # in JSON: half of a letter beyond 16 bits, or both
NAME_IT = "write it, or take all of them out"  # the remedy for a split that some lack


class Record(NamedTuple):
    """One line of a table. `place` is what an error calls it (`pets.csv:17`)."""

    place: str
    values: Mapping[str, object]


Reader = Callable[[Path], Iterator[Record]]


def csv_rows(data: Data, split: str, note: Note = silent) -> Iterator[Row]:
    """The rows of a CSV file (comma, header, UTF-8), or of `<split>.csv` in a folder."""
    return _rows(data, split, note, read_csv)


def jsonl_rows(data: Data, split: str, note: Note = silent) -> Iterator[Row]:
    """The rows of a file of JSON objects, one a line, or of `<split>.jsonl` in a folder."""
    return _rows(data, split, note, read_jsonl)


def read_csv(path: Path) -> Iterator[Record]:
    """The records of a CSV file. Raises DataError, with the line, for a row that does not fit."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = _header(next(lines, []), path)
            for cells in lines:
                place = f"{path}:{lines.line_num}"
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{place}: {len(cells)} cells under {len(header)} column names; "
                        "put quotes around a cell that holds a comma"
                    )
                yield Record(place, dict(zip(header, cells, strict=True)))
        except csv.Error as error:
            raise DataError(f"{path}:{lines.line_num}: not CSV ({error}); mend the line") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8; save the table as UTF-8") from error


def read_jsonl(path: Path) -> Iterator[Record]:
    """The records of a JSON lines file. Raises DataError, with the line, for what is no object."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}:{number}"
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{place}: not JSON ({error}); mend the line") from error
            if not isinstance(values, dict):
                raise DataError(f'{place}: not a JSON object; write {{"image": …, "label": …}}')
            check_letters(text, values, place)
            yield Record(place, values)


def check_letters(content: bytes, values: object, place: str) -> None:
    """Raises DataError for JSON texts with half of a surrogate pair, which nothing can encode."""
    if not SURROGATE.search(content):
        return
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DataError(f"{place}: {half!a} is half of a letter; mend the text") from error


def _rows(data: Data, split: str, note: Note, read: Reader) -> Iterator[Row]:
    path, divided = _table(data, split, ".csv" if read is read_csv else ".jsonl")
    column = data.columns.get("image", "image")
    records = _checked(path, data, read)
    for record in records if divided else _of_split(path, data, split, note, read):
        named = record.values[column]
        names = named if isinstance(named, list) and named else [named]
        root = place_of(data.images, split, note) if data.images else path.parent
        first, *others = (picture_in(root, name, record.place) for name in names)
        yield Row(record.place, first, record.values, tuple(others))


def _table(data: Data, split: str, suffix: str) -> tuple[Path, bool]:
    """The table to read, and whether it holds this split alone."""
    path = place_of(data.path, split)
    if path.is_dir():
        table = path / f"{split}{suffix}"
        if not table.is_file():
            there = ", ".join(sorted(p.name for p in path.glob(f"*{suffix}"))) or "none"
            raise DataError(f"{path}/: no {table.name} ({suffix} files: {there}); name a table")
        return table, True
    if not path.is_file():
        raise DataError(f"{path}: no such file; set data.path to the table")
    return path, SPLIT in data.path


def _of_split(path: Path, data: Data, split: str, note: Note, read: Reader) -> Iterator[Record]:
    """The records whose column `split` says so; without that column, of a seeded split."""
    if any("split" in record.values for record in _checked(path, data, read)):
        return _marked(path, data, split, read)
    first = next(_checked(path, data, read))
    test = splits.is_test(data, split, str(path))
    if any(data.columns.get(role, role) in first.values for role in UNCLASSED):
        note(f"{path}: {splits.PICTURES_NOTE}")
        return _by_picture(path, data, test, read)
    note(f"{path}: {splits.NOTE}")
    return _by_class(path, data, test, read)


def _marked(path: Path, data: Data, split: str, read: Reader) -> Iterator[Record]:
    seen: set[str] = set()
    for record in _checked(path, data, read):
        value = str(record.values.get("split") or "").strip()
        if not value:
            raise DataError(f"{record.place}: no split, and other rows have one; {NAME_IT}")
        seen.add(value)
        if value == split:
            yield record
    if split not in seen:
        there = ", ".join(repr(value) for value in sorted(seen)[:10])
        raise DataError(f"{path}: no row of split {split!r}; column 'split' holds {there}")


def _by_class(path: Path, data: Data, test: bool, read: Reader) -> Iterator[Record]:
    """A fixed share of each class. A record without label comes alone: its task refuses it."""
    label = data.columns.get("label", "label")
    names: dict[str, list[str]] = {}
    for record in _checked(path, data, read):
        value = record.values.get(label)
        if not _is_label(value):
            yield record
            return
        names.setdefault(" ".join(str(value).split()), []).append(_picture(record, data))
    yield from _share(splits.held_out(names, str(path)), path, data, test, read)


def _is_label(value: object) -> bool:
    """Whether a task takes it as a label; if not, the task says why."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, str) and bool(value.strip()))


def _by_picture(path: Path, data: Data, test: bool, read: Reader) -> Iterator[Record]:
    names = (_picture(record, data) for record in _checked(path, data, read))
    yield from _share(splits.held_out_pictures(names, str(path)), path, data, test, read)


def _share(
    chosen: frozenset[str], path: Path, data: Data, test: bool, read: Reader
) -> Iterator[Record]:
    for record in _checked(path, data, read):
        if (_picture(record, data) in chosen) == test:
            yield record


def _picture(record: Record, data: Data) -> str:
    """The path of the record's picture; of its first one, if it has several."""
    value = record.values[data.columns.get("image", "image")]
    return str(value[0] if isinstance(value, list) and value else value)


def _checked(path: Path, data: Data, read: Reader) -> Iterator[Record]:
    """The records, each with a picture column. Raises DataError if there is none."""
    records = read(path)
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: no rows; add a line for each picture")
    image = data.columns.get("image", "image")
    for record in chain([first], records):
        if image not in record.values:
            raise DataError(f"{record.place}: {missing_column('image', image, record.values)}")
        yield record


def _header(cells: list[str], path: Path) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(f"{path}: one column only: {names[0]!r}; is the delimiter ','? Save it so")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: two columns are called {name!r}; rename one")
    return names
