"""What a parquet file unpacks to, told before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.errors import DataError

if TYPE_CHECKING:
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile

MAX_RATIO = 100  # of the unpacked size to the file's
SPARE = 1_000_000  # bytes above it, for small files
VALUE = 8  # bytes that a cell takes at least, once it is no longer run-length encoded
SHORT = 100  # bytes a cell; a chunk that has fewer may repeat a long cell many times
AT_ONCE = 100_000_000  # bytes of a column that are looked at together


def check_unpacked(path: str, shown: str) -> None:
    """Raises DataError if a parquet file is small but would fill the memory or the disk.

    What its footer says of compression is added up. Encodings that repeat a cell (a dictionary,
    common prefixes) do not show there, so columns that may hide one are read in small pieces.
    """
    from pyarrow.parquet import ParquetFile

    size = Path(path).stat().st_size
    limit = MAX_RATIO * size + SPARE
    with ParquetFile(path) as table:
        chunks = [
            group.column(turn)
            for group in map(table.metadata.row_group, range(table.metadata.num_row_groups))
            for turn in range(group.num_columns)
        ]
        check_size(sum(map(_least, chunks)), size, shown)
        for name in sorted({c.path_in_schema for c in chunks if _may_repeat(c, limit)}):
            most = max(c.total_uncompressed_size for c in chunks if c.path_in_schema == name)
            check_size(_read(table, name, most, limit), size, shown)


def _least(chunk: ColumnChunkMetaData) -> int:
    encoded: int = chunk.total_uncompressed_size
    return max(encoded, VALUE * int(chunk.num_values))


def _may_repeat(chunk: ColumnChunkMetaData, limit: int) -> bool:
    text = "BYTE_ARRAY" in chunk.physical_type
    short: bool = chunk.total_compressed_size < SHORT * chunk.num_values
    return text and short and chunk.total_uncompressed_size * chunk.num_values > limit


def _read(table: ParquetFile, column: str, most: int, limit: int) -> int:
    """The bytes of a column, of which no more is read than shows that it is above the limit.

    most: the bytes of its largest chunk, which no cell exceeds unless it is made of another one.
    """
    rows = max(1, min(10_000, AT_ONCE // max(1, most)))
    unpacked = 0
    for batch in table.iter_batches(rows, columns=[column], use_threads=False):
        unpacked += batch.nbytes
        if unpacked > limit:
            break
    return unpacked


def check_size(unpacked: int, size: int, shown: str) -> None:
    """Raises DataError for a file that unpacks to far more bytes than its size."""
    if unpacked > MAX_RATIO * size + SPARE:
        raise DataError(
            f"{shown}: {size:,} bytes that unpack to {unpacked:,} or more, above {MAX_RATIO} times "
            "the file's size + 1 MB; take the long cells out of it"
        )
