"""Every change that a process makes to files, seen by the kernel before it happens.

A filter (seccomp, user notification) holds each system call that changes a file, from whatever
language it comes: Python, torch's C++, safetensors' Rust. The process waits in the kernel until
it is let go on, told that the call failed, or killed. Linux on x86-64 or arm64; no rights needed.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from call_filter import MACHINES, NUMBERS, install

WRITES = {"write", "pwrite64", "writev", "pwritev", "sendfile", "copy_file_range", "splice"}
SYNCS = {"fsync", "fdatasync"}
ON_HANDLES = WRITES | SYNCS | {"ftruncate", "fallocate", "sync_file_range"}
RECEIVE, SEND = 0xC0502100, 0xC0182101
GO_ON = 1
AT_FDCWD = -100


class Call(NamedTuple):
    """A call that waits. path: what it changes. other: where a rename goes to. size: in bytes."""

    id: int
    pid: int
    name: str
    path: str
    other: str = ""
    size: int = 0
    args: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        goes = f" to {self.other}" if self.other else ""
        return f"{self.name} {self.path}{goes}{f', {self.size} bytes' if self.size else ''}"


def supported() -> bool:
    """Whether this machine can hold calls."""
    return platform.system() == "Linux" and platform.machine() in MACHINES


class Watch:
    """Made before a process is forked: `begin` in the child, then `calls` in the parent."""

    def __init__(self, inside: Path) -> None:
        self.inside = str(inside)
        self.ours, self.theirs = socket.socketpair()
        self.listener = -1

    def begin(self) -> None:
        """In the child: from here on its calls wait for the parent."""
        self.ours.close()
        socket.send_fds(self.theirs, [b"x"], [install()])
        self.theirs.close()

    def calls(self) -> Iterator[Call]:
        """In the parent: each call that changes a file inside the folder, until the child ends.

        But for what the child prints.

        What the caller has not let go on, failed or killed by the next one goes on.
        """
        self.theirs.close()
        handles = array.array("i", socket.recv_fds(self.ours, 1, 1)[1])
        self.ours.close()
        if not handles:
            return
        self.listener = handles[0]
        watched = select.poll()
        watched.register(self.listener, select.POLLIN)
        try:
            while watched.poll()[0][1] & select.POLLIN:
                call = self._next()
                if call is None:
                    continue
                if self._concerns(call):
                    yield call
                self.go_on(call)
        finally:
            os.close(self.listener)

    def go_on(self, call: Call) -> None:
        """Let the call happen."""
        self._answer(call, 0, GO_ON)

    def fail(self, call: Call, number: int) -> None:
        """Have the call fail with this error, without having happened."""
        self._answer(call, -number, 0)

    def _answer(self, call: Call, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(self.listener, SEND, struct.pack("QqiI", call.id, 0, error, flags))
        except OSError as gone:  # answered already, interrupted by a signal, or dead
            if gone.errno not in (errno.ENOENT, errno.EINPROGRESS):
                raise

    def _next(self) -> Call | None:
        held = bytearray(80)
        try:
            fcntl.ioctl(self.listener, RECEIVE, held)
        except OSError as gone:
            if gone.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        id, pid, _, number, _, _, *args = struct.unpack("QIIiIQ6Q", held)
        return _described(id, pid, number, tuple(args))

    def _concerns(self, call: Call) -> bool:
        said = f"{self.inside}/said"
        paths = [path for path in (call.path, call.other) if not path.startswith(said)]
        return any(f"{path}/".startswith(f"{self.inside}/") for path in paths)


def written(call: Call) -> bytes:
    """The bytes that a waiting write is about to write."""
    if call.name in ("write", "pwrite64"):
        return _memory(call.pid, call.args[1], call.args[2])
    if call.name in ("writev", "pwritev"):
        table = _memory(call.pid, call.args[1], 16 * call.args[2])
        return b"".join(_memory(call.pid, *part) for part in struct.iter_unpack("QQ", table))
    raise NotImplementedError(call.name)


def write_half(call: Call) -> None:
    """Do the first half of a waiting write in its place, as a kill in the middle of it would."""
    content = written(call)
    process = os.pidfd_open(call.pid)
    handle = ctypes.CDLL(None).syscall(438, process, _signed(call.args[0]), 0)  # pidfd_getfd
    try:
        half = content[: len(content) // 2]
        if call.name in ("pwrite64", "pwritev"):
            os.pwrite(handle, half, call.args[3])
        else:
            os.write(handle, half)
    finally:
        os.close(handle)
        os.close(process)


def place_of(call: Call) -> int:
    """Where in its file a waiting write begins; -1 at its end."""
    if call.name in ("pwrite64", "pwritev"):
        return call.args[3]
    lines = Path(f"/proc/{call.pid}/fdinfo/{_signed(call.args[0])}").read_text().splitlines()
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return -1 if int(facts["flags"], 8) & os.O_APPEND else int(facts["pos"])


def kill(call: Call) -> None:
    """kill -9, before the call happens."""
    os.kill(call.pid, signal.SIGKILL)


def _described(id: int, pid: int, number: int, args: tuple[int, ...]) -> Call:
    column = MACHINES[platform.machine()][0]
    name = next(name for name, numbers in NUMBERS.items() if numbers[column] == number)
    try:
        path, other = _paths(pid, name, args)
    except OSError:  # it is dead, or gave an address of its own making
        path = other = ""
    size = args[2] if name in ("write", "pwrite64") else 0
    return Call(id, pid, name, path, other, size, args)


def _paths(pid: int, name: str, args: tuple[int, ...]) -> tuple[str, str]:
    if name in ON_HANDLES:
        which = {"copy_file_range": 2, "splice": 2}.get(name, 0)
        return _of_handle(pid, args[which]), ""
    if name == "mmap":
        return _of_handle(pid, args[4]), ""
    if name in ("rename", "link"):
        return _at(pid, AT_FDCWD, args[0]), _at(pid, AT_FDCWD, args[1])
    if name in ("renameat", "renameat2", "linkat"):
        return _at(pid, args[0], args[1]), _at(pid, args[2], args[3])
    if name == "symlink":
        return _at(pid, AT_FDCWD, args[1]), ""
    if name == "symlinkat":
        return _at(pid, args[1], args[2]), ""
    if name.endswith("at"):
        return _at(pid, args[0], args[1]), ""
    return _at(pid, AT_FDCWD, args[0]), ""


def _at(pid: int, folder: int, address: int) -> str:
    text = os.fsdecode(_text(pid, address))
    if text.startswith("/"):
        return os.path.normpath(text)
    folder = _signed(folder)
    base = _link(f"/proc/{pid}/cwd") if folder == AT_FDCWD else _of_handle(pid, folder)
    return os.path.normpath(f"{base}/{text}")


def _of_handle(pid: int, handle: int) -> str:
    return _link(f"/proc/{pid}/fd/{_signed(handle)}")


def _link(path: str) -> str:
    return str(Path(path).readlink())


def _signed(number: int) -> int:
    return ctypes.c_int(number & 0xFFFFFFFF).value


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        memory.seek(address)
        return memory.read(size)


def _text(pid: int, address: int) -> bytes:
    content = b""
    while b"\0" not in content and len(content) < 4096:
        content += _memory(pid, address + len(content), 256 - (address + len(content)) % 256)
    return content.partition(b"\0")[0]
