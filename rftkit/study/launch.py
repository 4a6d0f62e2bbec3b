"""One process after another: its lines shown as they come, signals passed on once."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from rich.console import Console

from rftkit.errors import Interrupted

KILLED = 9
PDEATHSIG = 1  # of prctl: what a process gets when the one that started it ends


class Ended(NamedTuple):
    """How a process ended: its exit code, and the last line that it wrote."""

    code: int
    last: str


Launch = Callable[[Sequence[str], Console], Ended]


def launch(words: Sequence[str], console: Console) -> Ended:
    """Run a command to its end; what it writes to standard error is shown.

    Its own process, so that its memory, a GPU's too, is free for the next one, and so that it can
    crash alone. Raises Interrupted, once the process has saved and ended, if a signal came.
    """
    last, received, started = "", list[int](), list[subprocess.Popen[str]]()
    with _passed_on(received, started):
        process = _start(words)
        started.append(process)
        if received:  # between the two lines above
            process.send_signal(received[0])
        assert process.stderr is not None
        for line in process.stderr:
            if line.strip():
                last = line.strip()
                console.print(f"  {line.rstrip()}", highlight=False, markup=False, soft_wrap=True)
        code = process.wait()
    if received:
        raise Interrupted(received[0])
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):  # somebody stopped the run itself
        raise Interrupted(code - 128)
    return Ended(code, last)


def complaint(ended: Ended) -> str:
    """Why a process failed, in one line."""
    if ended.code == -KILLED:
        return "killed from outside; likely out of memory, lower method.batch_size"
    if ended.code < 0:
        return f"crashed by signal {-ended.code}: {ended.last}"
    return ended.last.removeprefix("rftkit: ") or f"ended with code {ended.code}"


def _start(words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        preexec_fn=_ending_with(os.getpid()),
        process_group=0,  # Ctrl-C in the terminal reaches us alone, and we pass it on once
    )


def _ending_with(parent: int) -> Callable[[], None] | None:
    """What a new process does first, so that SIGTERM reaches it when we end without a word.

    It then saves and ends, as if we had passed the signal on. None where there is no such thing.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def begin() -> None:
        prctl(PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended meanwhile
            os.kill(os.getpid(), signal.SIGTERM)

    return begin


@contextmanager
def _passed_on(received: list[int], started: list[subprocess.Popen[str]]) -> Iterator[None]:
    """Meanwhile SIGINT and SIGTERM go to the process; it saves at the first, stops at the next."""

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for process in started:
            process.send_signal(number)

    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
