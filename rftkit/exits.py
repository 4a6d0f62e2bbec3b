"""How a command ends: what the user can fix becomes one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from typer.core import TyperGroup

from rftkit.errors import Interrupted, UserError
from rftkit.messages import first_line, one_line

FIXES = {  # what an operating system refuses and a user can fix
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EIO: "look after the disk",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "check its rights",
    errno.EPERM: "check its rights",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EISDIR: "it is a folder, not a file; move it away",
    errno.ELOOP: "it is a link that leads to itself; delete it",
    errno.EFBIG: "raise `ulimit -f`",
    errno.EIO: "the disk cannot be read or written there",
    errno.ENOMEM: "close other programs, or raise `ulimit -v`",
    errno.EMFILE: "raise `ulimit -n`",
}


OF_A_LIBRARY = re.compile(r"\(os error ([0-9]{1,3})\)")  # as those written in Rust say it
NO_ROOM = re.compile("can't start new thread|failed to map segment|cannot allocate memory", re.I)


class Verbs(TyperGroup):
    """Typer's commands, but Ctrl-C is ours: some of its versions exit 1, others say nothing."""

    def invoke(self, ctx: Any) -> Any:
        """What the command returns. Raises Interrupted on Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT) from None


def run(command: Callable[[], object]) -> NoReturn:
    """Run a command and exit: 0, or the code of what stopped it, said in one line."""
    output = _handle(sys.stdout)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe that knows no "≥" gets a "?"
            if stream.isatty():
                setattr(sys, name, _Terminal(stream))
    try:
        with _stopped_by_signals():
            command()
    except (UserError, Interrupted) as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped", 128 + signal.SIGINT)
    except Exception as error:
        if refused := _refused(error):
            _fail(refused, 1)
        raise
    except SystemExit as end:
        if end.code == 1 and _unread(output):  # click and rich have ended it, and said nothing
            raise SystemExit(128 + signal.SIGPIPE) from None
        raise
    raise SystemExit(0)


def _refused(error: Exception) -> str:
    """What the operating system refused, and how to fix it; "" for an error of another kind."""
    if isinstance(error, OSError) and error.errno in FIXES:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; {FIXES[error.errno]}"
    said = first_line(error)
    if isinstance(error, MemoryError) or NO_ROOM.search(said):
        return f"{said}: this process gets no more memory; close other programs, or `ulimit -v`"
    number = int(found[1]) if (found := OF_A_LIBRARY.search(str(error))) else 0
    return f"{os.strerror(number)}; {FIXES[number]}" if number in FIXES else ""


def stop_signals() -> list[int]:
    """What asks a command to stop: Ctrl-C, SIGTERM, and a terminal that closes, but under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]


class _Terminal:
    """A terminal that may be closed: what is then written goes nowhere, so that a run can save."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream does."""
        with self._left():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream does."""
        with self._left():
            self._stream.flush()

    @contextmanager
    def _left(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Meanwhile they raise Interrupted, as Ctrl-C does, so that locks go and work is kept."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(number)

    heard = [number for number in stop_signals() if number != signal.SIGINT]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(stream: object) -> int | None:
    """A handle of our own on a stream's file, which stays open when rich closes the stream's."""
    try:
        return os.dup(stream.fileno()) if isinstance(stream, io.TextIOWrapper) else None
    except OSError:  # a test's stream, which has none
        return None


def _unread(handle: int | None) -> bool:
    """Whether it is a pipe whose reader, as `head`, has gone."""
    if handle is None:
        return False
    watch = select.poll()
    watch.register(handle, 0)
    return any(event & select.POLLERR for _, event in watch.poll(0))


def _fail(message: str, code: int) -> NoReturn:
    print(f"rftkit: {one_line(' '.join(message.split()))}", file=sys.stderr)
    raise SystemExit(code)
