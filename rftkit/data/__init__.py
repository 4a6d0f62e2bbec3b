"""Where the labelled pictures come from: one line for each source."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rftkit.core import Row
from rftkit.data import builtin, coop, folder, hub, tables
from rftkit.data.paths import Note, silent
from rftkit.errors import DataError
from rftkit.recipe import Data

SOURCES: dict[str, Callable[[Data, str, Note], Iterator[Row]]] = {
    "hub": hub.rows,
    "folder": folder.rows,
    "csv": tables.csv_rows,
    "jsonl": tables.jsonl_rows,
    "digits": lambda data, split, note: builtin.digits_rows(split),
    "hangar": lambda data, split, note: builtin.hangar_rows(split),
}


def rows(data: Data, split: str, note: Note = silent) -> Iterator[Row]:
    """The labelled pictures of a split, one by one, none of them opened.

    note: is told what a person should know and no error says, such as files that were skipped.
    Raises DataError where the data cannot be read.
    """
    if not data.coop_split:
        return SOURCES[data.source](data, split, note)
    if data.source != "folder":
        raise DataError(
            f"data.coop_split: lists files, which source {data.source!r} has not; "
            'set data.source = "folder"'
        )
    return coop.rows(data, split, note)
