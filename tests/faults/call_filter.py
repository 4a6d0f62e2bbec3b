"""The filter that has the kernel hold system calls, and the numbers of those that change files."""

from __future__ import annotations

import ctypes
import os
import platform

# name -> number on x86-64, number on arm64 (-1: there is none)
NUMBERS = {
    "open": (2, -1), "creat": (85, -1), "openat": (257, 56),
    "write": (1, 64), "pwrite64": (18, 68), "writev": (20, 66), "pwritev": (296, 70),
    "sendfile": (40, 71), "copy_file_range": (326, 285), "splice": (275, 76),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "fsync": (74, 82), "fdatasync": (75, 83), "sync_file_range": (277, 84), "mmap": (9, 222),
    "rename": (82, -1), "renameat": (264, 38), "renameat2": (316, 276),
    "unlink": (87, -1), "unlinkat": (263, 35), "rmdir": (84, -1),
    "mkdir": (83, -1), "mkdirat": (258, 34), "link": (86, -1), "linkat": (265, 37),
    "symlink": (88, -1), "symlinkat": (266, 36),
}  # fmt: skip
MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
FLAGS = {"open": 1, "openat": 2}  # which argument says whether it may change anything
CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000


class _Step(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("yes", ctypes.c_ubyte),
        ("no", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


def _filter(column: int, architecture: int) -> list[_Step]:
    """Berkeley packet filter: hold the calls of NUMBERS that may change a file, allow all else."""
    load, equal, masked, give = 0x20, 0x15, 0x45, 0x06

    def value_of(argument: int) -> int:
        return 16 + 8 * argument

    steps = [_Step(load, 0, 0, 4), _Step(equal, 1, 0, architecture), _Step(give, 0, 0, ALLOW)]
    for name, numbers in NUMBERS.items():
        if numbers[column] < 0:
            continue
        asked = [_Step(give, 0, 0, NOTIFY)]
        if name in FLAGS:
            asked = [
                _Step(load, 0, 0, value_of(FLAGS[name])),
                _Step(masked, 0, 1, CHANGING),
                _Step(give, 0, 0, NOTIFY),
                _Step(give, 0, 0, ALLOW),
            ]
        if name == "mmap":  # shared, and to be written
            asked = [
                _Step(load, 0, 0, value_of(3)),
                _Step(masked, 0, 3, 1),
                _Step(load, 0, 0, value_of(2)),
                _Step(masked, 0, 1, 2),
                _Step(give, 0, 0, NOTIFY),
                _Step(give, 0, 0, ALLOW),
            ]
        steps += [_Step(load, 0, 0, 0), _Step(equal, 0, len(asked), numbers[column]), *asked]
    return [*steps, _Step(give, 0, 0, ALLOW)]


def install() -> int:
    """Put the filter on this process; returns the handle on which its calls are told."""
    column, architecture, seccomp = MACHINES[platform.machine()]
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(38, 1, 0, 0, 0)  # no new privileges, without which a filter needs root
    steps = _filter(column, architecture)
    program = _Program(len(steps), (_Step * len(steps))(*steps))
    handle = int(system.syscall(seccomp, 1, 8, ctypes.byref(program)))
    if handle < 0:
        raise OSError(ctypes.get_errno(), "no seccomp user notification")
    return handle
