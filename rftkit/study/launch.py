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
PARENT_DEATH_SIGNAL = 1  # of Linux: what a process is sent when its parent has gone


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
    system, us = ctypes.CDLL(None), os.getpid()

    def end_with_us() -> None:
        """A study that is killed takes its run along: started again, it finds it free."""
        if sys.platform == "linux":
            system.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != us:  # it was killed before that
                os.kill(os.getpid(), signal.SIGKILL)

    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        preexec_fn=end_with_us,
        process_group=0,  # Ctrl-C in the terminal reaches us alone, and we pass it on once
    )


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
