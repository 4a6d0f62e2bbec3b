"""Where the labelled pictures come from: one line for each source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from rftkit.core import Row
from rftkit.data import (
    builtin,
    coco,
    conversations,
    coop,
    folder,
    hub,
    lisa,
    refs,
    scenes,
    tables,
    voc,
    yolo,
)
from rftkit.data.given import as_given, as_given_in_errors
from rftkit.data.paths import Note, silent
from rftkit.sections import Data

SOURCES: dict[str, Callable[[Data, str, Note], Iterator[Row]]] = {
    "hub": hub.rows,
    "folder": folder.rows,
    "csv": tables.csv_rows,
    "jsonl": tables.jsonl_rows,
    "coop": coop.rows,
    "coco": coco.rows,
    "voc": voc.rows,
    "yolo": yolo.rows,
    "lisa": lisa.rows,
    "refs": refs.rows,
    "llava": conversations.rows,
    "digits": lambda data, split, note: builtin.digits_rows(split),
    "hangar": lambda data, split, note: builtin.hangar_rows(split),
    "scenes": lambda data, split, note: scenes.rows(data.path, split),
}


def rows(data: Data, split: str, note: Note = silent) -> Iterator[Row]:
    """The annotated pictures of a split, one by one, none of them opened.

    note: is told what a person should know and no error says, such as files that were skipped.
    Raises DataError where the data cannot be read.
    """
    with as_given_in_errors():
        for row in SOURCES[data.source](data, split, lambda said: note(as_given(said))):
            yield replace(row, place=as_given(row.place))
