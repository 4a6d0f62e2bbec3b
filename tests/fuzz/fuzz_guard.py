"""What holds for every input: it ends as a value or as one line of ours, and touches nothing else.

An input that breaks this raises AssertionError, or what the program raised.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rftkit.errors import UserError
from rftkit.serve.errors import ApiError

Run = Callable[[bytes, Path], None]

LONGEST = 1000  # characters of a line
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {  # event -> its arguments that are paths
    **dict.fromkeys(("os.mkdir", "os.rmdir", "os.remove", "os.chmod"), (0,)),
    "os.symlink": (1,),
    "os.link": (1,),
    "os.rename": (0, 1),
}
REACHES = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    *("socket.connect", "socket.getaddrinfo", "socket.bind", "pickle.find_class"),
}

_folder: str = ""  # below which files may change while an input is tried; "" while none is
_faults: list[str] = []


def ended(run: Run, data: bytes, folder: Path, seconds: float) -> str:
    """The line that an input is refused with; "" if it is taken.

    folder: an empty one, in which alone files may change; it is emptied again. seconds: of
    processor time that the input may take.
    """
    began, line = time.process_time(), ""
    with _watched(folder):
        try:
            run(data, folder)
        except (UserError, ApiError) as error:
            line = str(error)
            check_line(line)
    spent = time.process_time() - began
    assert spent <= seconds, f"took {spent:.1f} s of processor time, above {seconds:g}"
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return line


def check_line(line: str) -> None:
    """Fails for a text that is not one bounded line, or could steer a terminal."""
    assert line.strip(), "an empty line"
    assert len(line) <= LONGEST, f"a line of {len(line)} characters: {line[:200]!r}"
    odd = next((c for c in line if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    assert odd is None, f"{odd!a} in the line {line!r}"


@contextmanager
def _watched(folder: Path) -> Iterator[None]:
    """Fails at its end if a file outside changed, a process began, or a host was asked."""
    global _folder
    _folder = os.path.realpath(folder)
    _faults.clear()
    try:
        yield
    finally:
        _folder = ""
    assert not _faults, _faults


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _folder or threading.current_thread().name.startswith("asyncio"):
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITES:
            _check(event, path)
    elif event in CHANGES:
        for place in CHANGES[event]:
            path, last = arguments[place], arguments[-1]
            if isinstance(path, str | bytes | os.PathLike):
                _check(event, path, last if isinstance(last, int) else -1)
    elif event in REACHES:
        _faults.append(f"{event} {arguments!r:.200}")


def _check(
    event: str, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], folder: int = -1
) -> None:
    """folder: a handle that the path counts from; -1 for the current folder."""
    global _folder
    inside, _folder = _folder, ""  # looking at the path is no fault
    try:
        start = f"/proc/self/fd/{folder}" if folder >= 0 else "."
        real = os.path.realpath(Path(start, os.fsdecode(path)))
    finally:
        _folder = inside
    if real not in (os.devnull, inside) and not real.startswith(inside + os.sep):
        _faults.append(f"{event} {real}")


sys.dont_write_bytecode = True  # of modules that are first needed meanwhile
sys.addaudithook(_hook)
