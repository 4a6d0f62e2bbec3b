"""Files that a kill never leaves half-written, lines of JSON, hashes, room on the disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from rftkit.errors import UserError


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write beside and move into place: a reader sees the old text or the new one, never half.

    Nor does one after a power cut; the new one is on the disk when this returns. No link in the
    folder is followed, and nobody can put one where the new text goes: its name cannot be guessed.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.{os.getpid()}")
    try:
        with beside.open("xb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync(path.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Delete what `write_atomically` left in a folder where its process was killed meanwhile."""
    for path in [*folder.glob(".*.*"), *folder.glob("*/.*.*"), *folder.glob("*/*/.*.*")]:
        number = path.name.rpartition(".")[2]
        if path.is_file() and re.fullmatch("[0-9]{1,9}", number) and not _runs(int(number)):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk now."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited for
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # folders of some file systems
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Have the system write a folder to the disk now, with all that is in it, and its name."""
    for path in (*folder.rglob("*"), folder, folder.parent):
        if not path.is_symlink():
            sync(path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; after a power cut they are there."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # a folder that may be written and not be listed
        sync(folder.parent)


def append(path: Path, text: str) -> None:
    """Write at the end of a file of a run, and make it if it is not there.

    Raises UserError for a link, which a stranger may have laid to any file of the user's.
    """
    with open_own(path, "a") as file:
        file.write(text.encode())


def open_own(path: Path, mode: Literal["a", "r+"]) -> IO[bytes]:
    """Open a file of a run to write to it where it lies. Raises UserError for a link."""

    def unlinked(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, 0o666)

    try:
        return open(path, f"{mode}b", opener=unlinked)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UserError(
            f"{path}: is a link; a run writes to its own files, move it there"
        ) from None


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """One JSON object as one line, flushed: a kill tears the last line at most.

    A power cut may take the lines since the last `sync`, which the system had not written yet.
    """
    append(path, _line(record))


def plain(path: Path) -> Path:
    """The path of what is to be read, which may be a stranger's.

    Raises UserError for a pipe, which may never begin, and for a device, which may never end.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: no plain file, but a pipe, a device or a folder; move it away")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; a torn last line is left out.

    Raises UserError, with the line's number, for any other line that is no JSON object.
    """
    if not path.exists():
        return []
    *lines, last = plain(path).read_bytes().split(b"\n")
    records = [_record(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line]
    with suppress(ValueError, RecursionError):  # a piece of a JSON object is never JSON
        records += [json.loads(last)] if last else []
    return records


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of later steps, and a torn one: a run continues from `step`."""
    if path.exists():
        kept = [line for line in read_steps(path) if line["step"] <= step]
        write_atomically(path, "".join(_line(line) for line in kept))


def read_steps(path: Path) -> list[dict[str, Any]]:
    """The lines of a file whose lines are steps. Raises UserError for one without its number."""
    lines = read_lines(path)
    for number, line in enumerate(lines, 1):
        if type(line.get("step")) is not int:
            raise UserError(f"{path}:{number}: has no step; fix or remove the line")
    return lines


def _record(line: bytes, location: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise UserError(f"{location}: not a JSON object; fix or remove the line")
    return record


def _line(record: Mapping[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def require_space(folder: Path, needed: int) -> None:
    """Raises UserError if the disk has not `needed` bytes left, before anything is written."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: a checkpoint needs {needed / 2**20:.1f} MB and {free / 2**20:.1f} MB are "
            "free; make room and continue with --resume"
        )


def sha256(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
