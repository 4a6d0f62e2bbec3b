"""Data in archives: unpacked once into the cache, and only where that is safe.

Every member is checked before it is written, and its bytes are counted as they are: what an archive
says of itself may be wrong. An archive that breaks a rule is refused as a whole.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import shutil
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import IO
from uuid import uuid4

from rftkit.cache import cache_folder
from rftkit.data.archives import members
from rftkit.data.archives.members import SUFFIXES, Member
from rftkit.data.paths import DataPath, Note, silent
from rftkit.errors import DataError

FREE_BYTES = 100_000_000  # an archive may unpack to so much whatever its own size
MAX_RATIO = 200  # beyond that, to so many times its own size; JSON of zeros reaches 100
MAX_BYTES = 20_000_000_000
SPARE_BYTES = 100_000_000  # of the disk, never used
STALE_SECONDS = 86_400.0  # a half-unpacked folder older than this was left behind by a kill
CHUNK_BYTES = 1 << 20

# What the readers raise on broken archives; DataError is not among them.
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, ValueError, KeyError, IndexError, OverflowError, MemoryError, RuntimeError),
)


def unpacked(path: Path, note: Note = silent) -> DataPath:
    """The path, with an archive on the way to it unpacked: `cards.zip/train.json` is in the cache.

    The cache holds an archive under the digest of its content, so that a changed one is unpacked
    anew. Messages call what is in it by `path`. Raises DataError, naming the archive, for one that
    is broken, too big, encrypted, or holds what should not be written.
    """
    archive = next((p for p in (*reversed(path.parents), path) if _is_archive(p)), None)
    if archive is None:
        return DataPath.of(path)
    inside = path.relative_to(archive)
    if ".." in inside.parts or any(part.lower().endswith(SUFFIXES) for part in inside.parts):
        raise DataError(f"{path}: leads out of {archive.name} or into another archive; unpack it")
    return DataPath(_folder_of(archive, note), archive) / inside


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def _folder_of(archive: Path, note: Note) -> Path:
    shelf = cache_folder(note) / "archives"
    try:
        facts = archive.stat()
        folder = shelf / _digest(archive, facts.st_size, facts.st_mtime_ns)
        if not folder.is_dir():
            _unpack_beside(archive, folder)
            note(f"{archive}: unpacked into {folder}/")
    except OSError as error:
        full = error.errno == errno.ENOSPC
        remedy = "free some space" if full else "check the file, and set RFTKIT_CACHE"
        raise DataError(
            f"{archive}: cannot be unpacked into {shelf}/ ({error}); {remedy}"
        ) from error
    return folder


@lru_cache(maxsize=64)
def _digest(archive: Path, size: int, changed_ns: int) -> str:
    """16 hex digits of the SHA-256 of the content; size and time make a changed file a new key."""
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _unpack_beside(archive: Path, folder: Path) -> None:
    """Unpacks beside `folder` and moves it into place, so that a kill leaves no half data set."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    beside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    beside.mkdir()
    try:
        _unpack(archive, beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise  # else another process was a moment faster, and unpacked the same
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    location = str(archive)
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                _write_all(members.of_zip(packed, location), folder, location, limit)
        else:
            with members.open_tar(archive, limit) as file:
                _write_all(members.of_tar(file, location), folder, location, limit)
    except BROKEN as error:
        raise DataError(f"{location}: broken or cut off ({error}); get it again") from error


def _write_all(to_write: Iterable[Member], folder: Path, location: str, limit: int) -> None:
    """Writes every member below `folder`; at most `limit` bytes in all."""
    names = members.Names(location)
    left = limit
    for member in to_write:
        parts = names.checked(member.name, member.is_folder)
        if parts is None:
            continue
        target = folder.joinpath(*parts)
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        _check_room(folder, member, left, location)
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, target.open("xb") as file:
            left -= _copy(source, file, left, location)


def _check_room(folder: Path, member: Member, left: int, location: str) -> None:
    """Raises DataError before a file is written that says it is too big, or is for this disk."""
    if member.size > left or member.announced > left:
        raise _too_big(location)
    free = shutil.disk_usage(folder).free - SPARE_BYTES
    if (needed := max(member.size, member.announced)) > free:
        raise DataError(
            f"{location}: needs {needed / 1e6:.0f} MB more, and {folder.parent} has "
            f"{max(0, free) / 1e6:.0f} MB to give; free some space, or set RFTKIT_CACHE"
        )


def _copy(source: IO[bytes], file: IO[bytes], left: int, location: str) -> int:
    written = 0
    while chunk := source.read(CHUNK_BYTES):
        written += len(chunk)
        if written > left:
            raise _too_big(location)
        file.write(chunk)
    return written


def _too_big(location: str) -> DataError:
    return DataError(
        f"{location}: unpacks to more than {MAX_RATIO} times its size "
        f"(and {FREE_BYTES / 1e6:.0f} MB)"
        f", or to more than {MAX_BYTES / 1e9:.0f} GB; unpack it yourself if you trust it"
    )


def _sweep(shelf: Path) -> None:
    """Removes what unpackings that were killed have left."""
    for left in shelf.glob(".*.*"):
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
