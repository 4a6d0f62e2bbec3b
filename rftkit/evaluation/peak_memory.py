"""Peak memory while something runs: of the GPU, or of the process, without what came before."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from rftkit.metrics.samples import MemoryOf

SAMPLED_EVERY = 0.02  # seconds
RESIDENT = Path("/proc/self/statm")  # Linux; the second number is the resident set, in pages


@dataclass(frozen=True)
class Peak:
    """read() -> the most bytes held so far; of: by what, "" since the program started."""

    of: MemoryOf
    read: Callable[[], int]


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """The peak from here on: exact on CUDA, of the process as sampled 50 times a second on Linux.

    An operating system keeps one peak for a whole process; where it does not tell what is resident
    now, that one is given, and `of` is "".
    """
    if "torch" in sys.modules and (cuda := sys.modules["torch"].cuda).is_available():
        cuda.reset_peak_memory_stats()
        yield Peak("gpu", cuda.max_memory_allocated)
    elif RESIDENT.exists():
        with _sampled() as read:
            yield Peak("process", read)
    else:
        yield Peak("", _since_start)


@contextmanager
def _sampled() -> Iterator[Callable[[], int]]:
    """A function that returns the most bytes that were resident at any look; a thread looks."""
    highest, ended = resident(), Event()

    def look() -> None:
        nonlocal highest
        while not ended.wait(SAMPLED_EVERY):
            highest = max(highest, resident())

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: max(highest, resident())
    finally:
        ended.set()
        thread.join()


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(RESIDENT.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _since_start() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
