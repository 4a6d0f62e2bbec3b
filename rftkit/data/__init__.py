"""Where the labelled images come from: one line for each source."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rftkit.core import Row
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources import (
    builtin,
    coco,
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
from rftkit.data.sources import llava as conversations
from rftkit.data.sources.exports import cvat, label_studio
from rftkit.recipe.sections import Data

SOURCES: dict[str, Callable[[Data, str, SourceNotes, ReadCache], Iterator[Row]]] = {
    "hub": lambda data, split, note, cache: hub.rows(data, split),
    "folder": lambda data, split, note, cache: folder.rows(data, split, note),
    "csv": tables.rows,
    "jsonl": tables.rows,
    "coop": coop.rows,
    "coco": coco.rows,
    "voc": voc.rows,
    "yolo": lambda data, split, note, cache: yolo.rows(data, split, note),
    "lisa": lisa.rows,
    "refs": refs.rows,
    "llava": conversations.rows,
    "label_studio": label_studio.rows,
    "cvat": cvat.rows,
    "digits": lambda data, split, note, cache: builtin.digits_rows(split),
    "hangar": lambda data, split, note, cache: builtin.hangar_rows(split),
    "scenes": lambda data, split, note, cache: scenes.rows(data.path, split),
}


def rows(
    data: Data, split: str, notes: SourceNotes | None = None, cache: ReadCache | None = None
) -> Iterator[Row]:
    """The annotated images of a split, one by one, none of them opened.

    notes: is told what a person should know and no error says, such as files that were skipped.
    cache: shares the parsed annotations with other reads of one command.
    Raises DataError where the data cannot be read.
    """
    source, shared = SOURCES[data.source], cache or ReadCache()
    yield from source(data, split, notes or SourceNotes(), shared)
