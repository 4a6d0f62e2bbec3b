"""Arrow files: streams as `datasets` writes them, in which nothing is packed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from rftkit.data.sources.local_hub.unpacking import VALUE, check_size
from rftkit.errors import DataError

FILE = b"ARROW1"  # the other format's first bytes, whose end says where its tables lie
DICTIONARY = 2  # `Message.header_type` of a batch of a dictionary; of a plain one it is 3


def check_arrow(path: str, shown: str) -> None:
    """Raises DataError for an arrow file that may fill the memory: packed, or rows of nothing.

    Each batch is told apart by its head alone, before one is unpacked.
    """
    from pyarrow import ArrowException

    try:
        heads = [*_heads(path)]
    except (ArrowException, OSError, ValueError, struct.error) as error:
        raise DataError(f"{shown}: no stream of arrow tables; make it parquet") from error
    if any(packed for packed, _ in heads):
        raise DataError(f"{shown}: holds compressed tables; write it without, or as parquet")
    check_size(VALUE * sum(rows for _, rows in heads), Path(path).stat().st_size, shown)


def _heads(path: str) -> Iterator[tuple[bool, int]]:
    """Of each batch whether it is packed, and its rows. Raises ValueError for the other format."""
    from pyarrow import memory_map
    from pyarrow.ipc import MessageReader

    with memory_map(path) as file:
        if file.read(len(FILE)) == FILE:
            raise ValueError(path)
        file.seek(0)
        for message in MessageReader.open_stream(file):
            if message.type in ("record batch", "dictionary"):
                yield _head(message.metadata.to_pybytes())


def _head(message: bytes) -> tuple[bool, int]:
    """Whether a batch is packed, and its rows, from the flatbuffer that stands before it.

    Source: Arrow's Message.fbs: a Message is {version, header_type, header, ...}, a RecordBatch
    {length, nodes, buffers, compression, ...}, a DictionaryBatch {id, data: RecordBatch, ...}.
    """
    root = _number("I", message, 0)
    batch = _follow(message, _field(message, root, 2))
    if message[_field(message, root, 1)] == DICTIONARY:
        batch = _follow(message, _field(message, batch, 1))
    rows = _field(message, batch, 0)
    return bool(_field(message, batch, 3)), _number("q", message, rows) if rows else 0


def _field(message: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table stands; 0 if it is left out.

    A table begins with the distance back to its list of fields: [size of the list, size of the
    table, distance of field 0 from the table or 0, of field 1, ...], 2 bytes each.
    """
    listed = table - _number("i", message, table)
    place = 4 + 2 * number
    if place >= _number("H", message, listed):
        return 0
    distance = _number("H", message, listed + place)
    return table + distance if distance else 0


def _follow(message: bytes, place: int) -> int:
    """Where the table is whose distance stands here."""
    return place + _number("I", message, place)


def _number(kind: str, message: bytes, place: int) -> int:
    if place < 0:
        raise ValueError(place)
    number: int = struct.unpack_from(f"<{kind}", message, place)[0]
    return number
