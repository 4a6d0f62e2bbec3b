"""Folders that one process at a time works in: a file `lock` inside names it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rftkit.errors import UserError

LOCK = "lock"
READ = 1000  # bytes of a lock: it holds a number, a host's name and a number
_held: set[Path] = set()  # folders locked by this process


class Owner(NamedTuple):
    """The process that wrote a lock. started: ticks of its machine's clock, "" if not known."""

    pid: int
    host: str
    started: str = ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises UserError if another live process holds it."""
    lock, ours = folder / LOCK, _this_process()
    try:
        with _alone(folder):
            _clear_stale(lock)
            _create(lock, " ".join(map(str, ours)).strip())
            _held.add(folder.resolve())
    except FileExistsError:
        raise UserError(f"{folder}: in use by another process; wait for it") from None
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write there ({error.strerror}); check its rights"
        ) from None
    try:
        yield
    finally:
        try:
            _let_go(folder, ours)
        except BaseException:  # a signal came right here
            _let_go(folder, ours)
            raise


def holder(folder: Path) -> str:
    """In words, the process that holds a folder and may be alive, as on another host; else ""."""
    owner = owner_of(folder)
    if owner is None or (owner.host == socket.gethostname() and not _alive(owner, folder)):
        return ""
    return f"process {owner.pid} on {owner.host}"


def owner_of(folder: Path) -> Owner | None:
    """What a folder's lock says; None without one, or with one that was cut off being written."""
    lock = folder / LOCK
    try:
        if not lock.is_file():  # a pipe would be read for ever
            return None
        with lock.open("rb") as file:
            text = file.read(READ).decode("utf-8", "replace")
    except FileNotFoundError:  # its process has just ended
        return None
    pid, host, started, *_ = (*text.split(" "), "", "")
    if not (pid.isascii() and pid.isdigit() and int(pid) > 0 and host):
        return None
    return Owner(int(pid), host, started)


def forget_other_machines(folder: Path) -> None:
    """Delete the lock of a folder if a process on another machine wrote it."""
    owner = owner_of(folder)
    if owner and owner.host != socket.gethostname():
        (folder / LOCK).unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within it no other process takes the lock: what it saw as stale may be ours by then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network folders cannot be held
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _clear_stale(lock: Path) -> None:
    """Remove the lock of a process that is gone from this machine, or that was cut off writing."""
    if os.path.lexists(lock) and not lock.is_file():
        raise UserError(f"{lock}: is not a file, so rftkit did not write it; move it away")
    if owner := holder(lock.parent):
        raise UserError(f"{lock.parent}: in use by {owner}; wait for it, or delete {lock}")
    lock.unlink(missing_ok=True)


def _let_go(folder: Path, ours: Owner) -> None:
    if owner_of(folder) == ours:  # else somebody deleted it, and it is another's by now
        (folder / LOCK).unlink(missing_ok=True)
    _held.discard(folder.resolve())


def _create(lock: Path, text: str) -> None:
    with lock.open("x", encoding="utf-8") as file:
        file.write(text)


def _this_process() -> Owner:
    return Owner(os.getpid(), socket.gethostname(), _started(os.getpid()))


def _alive(owner: Owner, folder: Path) -> bool:
    """Whether a process of this machine still runs; its number may be another's by now."""
    if owner.pid == os.getpid():  # as after the restart of a container
        return folder.resolve() in _held
    try:
        os.kill(owner.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    if _process_fields(owner.pid)[:1] == ["Z"]:  # killed, and its parent has not looked yet
        return False
    now = _started(owner.pid)
    return not (now and owner.started) or now == owner.started


def _started(pid: int) -> str:
    """When a process began, in ticks since its machine did; "" where /proc does not say."""
    fields = _process_fields(pid)
    return fields[19] if fields else ""


def _process_fields(pid: int) -> list[str]:
    """What /proc says of a process, from its state on; empty where it does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # after the program's name, which may hold blanks
