"""What an archive holds, file by file, and which of it may be written below a folder."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO, Any, NamedTuple

from rftkit.data.paths import check_name
from rftkit.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
GZIPPED = (".tar.gz", ".tgz")
MAX_MEMBERS = 200_000
MAX_DEPTH = 32  # folders within folders
MAX_NAME_BYTES = 255  # of one part of a path; what file systems take
MAX_READ_BYTES = 8 << 20  # of a tar's header at once; names and attributes need a few hundred
LITTER = ("__macosx", ".ds_store")


class Member(NamedTuple):
    """One file or folder of an archive.

    size: bytes, as the archive says. announced: bytes of all files from this one on, where the
    archive has a table of contents; else 0.
    """

    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]]
    announced: int = 0


class Names:
    """The names of an archive's members, each checked by itself and against those before it."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.count = 0
        self.seen: dict[str, tuple[str, bool]] = {}

    def checked(self, name: str, is_folder: bool) -> tuple[str, ...] | None:
        """The parts of a member's path; None for litter and for the root itself.

        Raises DataError for a path that leaves the folder, that another member has (upper and
        lower case are the same on many disks), and for too many members.
        """
        self.count += 1
        if self.count > MAX_MEMBERS:
            raise _too_many(self.location)
        parts = _parts(name, self.location)
        if not parts or any(part.casefold() in LITTER or part[:2] == "._" for part in parts):
            return None
        for length in range(1, len(parts)):
            self._claim(parts[:length], True)
        self._claim(parts, is_folder)
        return parts

    def _claim(self, parts: tuple[str, ...], is_folder: bool) -> None:
        path = "/".join(parts)
        folded = unicodedata.normalize("NFC", path).casefold()
        if folded not in self.seen:
            self.seen[folded] = (path, is_folder)
        elif not is_folder or self.seen[folded] != (path, True):
            before, _ = self.seen[folded]
            raise DataError(f"{self.location}: {before!r} and {path!r} are one path; rename one")


def of_zip(packed: zipfile.ZipFile, location: str) -> Iterator[Member]:
    """The members of a zip. Raises DataError for those that are encrypted or no plain files."""
    entries = packed.infolist()
    if len(entries) > MAX_MEMBERS:
        raise _too_many(location)
    announced = sum(info.file_size for info in entries)
    for info in entries:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _special(location, info.filename)
        if info.flag_bits & 0x1:
            raise DataError(f"{location}: {info.filename!r} is encrypted; unpack it yourself")
        name = info.orig_filename  # `filename` ends at a zero byte
        yield Member(name, info.file_size, info.is_dir(), _opener(packed, info), announced)
        announced -= info.file_size


def _opener(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: packed.open(info)


def of_tar(file: Guarded, location: str) -> Iterator[Member]:
    """The members of an open tar. Raises DataError for links, devices and sparse files.

    Raises tarfile.ReadError where the archive ends without its end mark: tarfile itself takes a
    damaged header for the end.
    """
    reader: Any = file  # tarfile asks for write() too, by its types only
    with tarfile.open(fileobj=reader, mode="r:") as packed:
        while info := packed.next():
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise _special(location, info.name)
            yield Member(info.name, info.size, info.isdir(), _tar_opener(packed, info))
            packed.members = []  # type: ignore[attr-defined]  # tarfile keeps them all
        file.seek(packed.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end mark")
        while file.read(1 << 20):
            pass  # the checksum of a gzip stands at its end


def _tar_opener(packed: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        content = packed.extractfile(info)
        assert content is not None  # it is a plain file
        return content

    return opened


@contextmanager
def open_tar(path: Path, limit: int) -> Iterator[Guarded]:
    """The tar's own bytes, gunzipped, at most twice `limit` of them, never many at once."""
    is_gzip = path.name.lower().endswith(GZIPPED)
    with gzip.open(path) if is_gzip else path.open("rb") as file:
        yield Guarded(file, 2 * limit, str(path))


class Guarded:
    """A file that refuses to be read far, or much at once.

    tarfile reads names and attributes whole, however long a header says they are; and what it
    skips is unpacked too.
    """

    def __init__(self, file: gzip.GzipFile | io.BufferedReader, limit: int, location: str) -> None:
        self.file, self.limit, self.location = file, limit, location

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises DataError for a size no valid header has."""
        if not 0 <= size <= MAX_READ_BYTES:
            raise DataError(f"{self.location}: a header of {size} bytes; not a valid archive")
        self._check(self.file.tell() + size)
        return self.file.read(size)

    def seek(self, position: int) -> int:
        """Moves to a place from the start."""
        self._check(position)
        return self.file.seek(position)

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def tell(self) -> int:
        """The place of the next byte."""
        return self.file.tell()

    def _check(self, position: int) -> None:
        if position > self.limit:
            raise DataError(f"{self.location}: unpacks to far more than its size; not unpacked")


def _parts(name: str, location: str) -> tuple[str, ...]:
    """The parts of a path that stays below the folder it is unpacked into."""
    path = name.replace("\\", "/")  # of archives made on Windows
    shown = f"{location}: {name[:80]!r}"
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or any(PureWindowsPath(part).drive or ":" in part for part in parts):
        raise DataError(f"{shown} is an absolute path; make the archive with relative ones")
    if ".." in parts:
        raise DataError(f"{shown} leaves the folder it is unpacked into; not unpacked")
    if len(parts) > MAX_DEPTH:
        raise DataError(f"{shown}: {len(parts)} folders deep, above {MAX_DEPTH}; not unpacked")
    check_name(name, location)
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise DataError(f"{shown}: a name above {MAX_NAME_BYTES} bytes; rename it")
    return parts


def _too_many(location: str) -> DataError:
    return DataError(f"{location}: more than {MAX_MEMBERS} members; unpack it yourself")


def _special(location: str, name: str) -> DataError:
    return DataError(f"{location}: {name!r} is a link or a device; pack the files themselves")
