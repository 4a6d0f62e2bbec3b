"""Disks that are full or read-only: real ones of a few megabytes, and calls that fail as there."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import calls
from calls import Call, Watch
from forked import Ended, run, start
from same_run import RUN, Wanted, after, go_on, newest_whole, prepare
from trials import Trial

from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder

SIZES = 12  # of the disk, from half a checkpoint to four
MAKE = {"write", "writev", "pwrite64", "pwritev", "openat", "open", "creat", "mkdir", "mkdirat"}
GROWS = {*MAKE, "ftruncate", "fallocate", "rename", "renameat", "renameat2"}


def can_mount() -> bool:
    """Whether this user may mount a small disk in memory."""
    place = Path("/tmp") / f"faults-mount-{os.getpid()}"
    place.mkdir()
    try:
        with _disk(place, 2**20):
            return True
    except subprocess.CalledProcessError:
        return False
    finally:
        place.rmdir()


def full(wanted: Wanted, checkpoint: int) -> list[Trial]:
    """checkpoint: its bytes."""
    found = []
    for number in range(SIZES):
        size = int(checkpoint * (0.5 + 3.5 * number / (SIZES - 1)))

        def attempt(folder: Path, size: int = size) -> list[str]:
            return _on_small_disk(folder, wanted, size)

        found.append(Trial("full", f"a disk of {size / checkpoint:.1f} checkpoints", attempt))
    for at in range(4):

        def evaluating(folder: Path, at: int = at) -> list[str]:
            return _full_while_evaluating(folder, wanted, at)

        found.append(Trial("full", f"full while evaluating, at write {at + 1}", evaluating))
    return found


def read_only(wanted: Wanted) -> list[Trial]:
    """A disk that cannot be written, from the beginning and from a moment on."""

    def at_the_start(folder: Path) -> list[str]:
        prepare(folder, wanted.method, wanted.steps)
        with _disk(folder / "out", 2**26):
            _freeze(folder / "out")
            ended = run(wanted.words, folder)
            found = _one_line(ended, "out/run: cannot write there (Read-only file system)")
            _thaw(folder / "out")
            return found + after(run(wanted.words, folder), folder, wanted)

    def later(folder: Path, name: str) -> list[str]:
        prepare(folder, wanted.method, wanted.steps)
        with _disk(folder / "out", 2**26):
            ended = _until(folder, wanted, name, lambda: _freeze(folder / "out"))
            _thaw(folder / "out")
            return _one_line(ended, "") + after(go_on(folder, wanted), folder, wanted)

    moments = {"training": "step-000002", "saving": "adapter", "evaluating": "samples.jsonl"}
    return [Trial("read-only", "read-only from the beginning", at_the_start)] + [
        Trial(
            "read-only",
            f"read-only from {moment} on",
            lambda folder, name=name: later(folder, name),
        )
        for moment, name in moments.items()
    ]


def failing(wanted: Wanted, changes: int, count: int, seed: int) -> list[Trial]:
    """From one change on, drawn from the seed, each one that needs room fails, or all fail."""
    rng, found = random.Random(f"{seed} calls"), []
    for number in range(count):
        at = rng.randrange(changes)
        kind = (errno.ENOSPC, errno.EROFS, errno.EIO)[number % 3]

        def attempt(folder: Path, at: int = at, kind: int = kind) -> list[str]:
            return _failing_from(folder, wanted, at, kind)

        name = f"{errno.errorcode[kind]} from change {at} on"
        found.append(Trial(f"calls: {errno.errorcode[kind]}", name, attempt))
    return found


def _failing_from(folder: Path, wanted: Wanted, at: int, kind: int) -> list[str]:
    prepare(folder, wanted.method, wanted.steps)
    watch = Watch(folder)
    child, words = start(wanted.words, folder, watch.begin), ""
    for number, call in enumerate(watch.calls()):
        if number >= at and _refused(call, kind):
            words = words or call.words
            watch.fail(call, kind)
    ended = child.wait()
    if not words:  # nothing after it needed room
        return after(ended, folder, wanted)
    found = _one_line(ended, "") + _checkpoints_whole(folder)
    return [f"{words}: {line}" for line in found + after(go_on(folder, wanted), folder, wanted)]


def _refused(call: Call, kind: int) -> bool:
    if kind == errno.ENOSPC:
        return call.name in GROWS
    if kind == errno.EIO:
        return call.name in calls.WRITES | calls.SYNCS
    return call.name not in calls.SYNCS


def _on_small_disk(folder: Path, wanted: Wanted, size: int) -> list[str]:
    prepare(folder, wanted.method, wanted.steps)
    with _disk(folder / "out", size):
        ended = run(wanted.words, folder)
        if ended.code == 0:
            return after(ended, folder, wanted)
        found = _one_line(ended, "") + _checkpoints_whole(folder)
        if "a checkpoint needs" in ended.line and "MB are free" not in ended.line:
            found.append(f"does not say what is needed and what is free: {ended.line}")
        _mount("-o", f"remount,size={2**26}", str(folder / "out"))
        return found + after(go_on(folder, wanted), folder, wanted)


def _full_while_evaluating(folder: Path, wanted: Wanted, at: int) -> list[str]:
    prepare(folder, wanted.method, wanted.steps)
    filler = folder / "out" / "filler"
    with _disk(folder / "out", 2**24):
        ended = _until(folder, wanted, "samples.jsonl", lambda: _fill(filler), after_more=at)
        found = _one_line(ended, "make room on the disk")
        filler.unlink()
        return found + after(go_on(folder, wanted), folder, wanted)


def _until(
    folder: Path, wanted: Wanted, name: str, do: Callable[[], object], after_more: int = 0
) -> Ended:
    """Train, and do something before the change to a file of that name, or one further on."""
    watch = Watch(folder)
    child, left = start(wanted.words, folder, watch.begin), after_more
    for call in watch.calls():
        named = call.path.endswith(name) or call.other.endswith(name)
        if left >= 0 and named and call.name in MAKE | {"rename", "renameat"}:
            if left == 0:
                do()
            left -= 1
    return child.wait()


def _one_line(ended: Ended, part: str) -> list[str]:
    """What is wrong with how a command ended: exit code 1, one line with `part`, no traceback."""
    if ended.code != 1 or "Traceback" in ended.said or not ended.line.startswith("rftkit: "):
        return [f"exit code {ended.code}: {ended.said[-1500:]}"]
    return [] if part in ended.line else [f"{part!r} is not in {ended.line!r}"]


def _checkpoints_whole(folder: Path) -> list[str]:
    run = RunFolder(folder / RUN)
    all_of_them = checkpoints.in_order(run.checkpoints)
    newest = checkpoints.step_of(all_of_them[0]) if all_of_them else 0
    return [] if newest_whole(run) == newest else [f"step {newest} is a damaged checkpoint"]


@contextmanager
def _disk(place: Path, size: int) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield
    finally:
        _thaw(place)


def _freeze(place: Path) -> None:
    """From here on nothing below a folder can be changed."""
    _mount("--bind", str(place), str(place))
    _mount("-o", "remount,bind,ro", str(place))


def _thaw(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def _fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
