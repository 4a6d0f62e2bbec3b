"""A run's folder as it stood before each change that the run made to a file of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import calls
from calls import Call, Watch
from disk import Disk
from forked import start
from same_run import RUN, Wanted, last_step

from rftkit.runs.run import RunFolder

Tree = Mapping[str, bytes | None]  # path below the trial's folder -> content, None for a folder


class State(NamedTuple):
    """What lies on the disk at a moment. last: the last step in the metrics by then."""

    words: str
    tree: Tree
    last: int


@dataclass(frozen=True)
class Recording:
    """calls: how many changes there were. writes: states before each, and halfway in each write.

    cuts: what a disk holds after a power cut at each moment, by the kind of disk.
    """

    folder: Path
    calls: Mapping[str, int]
    writes: tuple[State, ...]
    cuts: Mapping[str, tuple[State, ...]]


def record(folder: Path, wanted: Wanted) -> Recording:
    """Train in a folder that is prepared, and note everything."""
    out = folder / RUN.parent
    watch, reader, disk = Watch(folder), _Reader(folder, out), Disk(folder)
    counts: dict[str, int] = {}
    writes: list[State] = []
    cuts: dict[str, list[State]] = {"forgets": [], "zeros": []}
    child = start(wanted.words, folder, watch.begin)
    for call in watch.calls():
        counts[call.name] = counts.get(call.name, 0) + 1
        short = call._replace(path=_below(call.path, folder), other=_below(call.other, folder))
        tree, last = reader.read(), last_step(RunFolder(folder / RUN))
        writes.append(State(f"before {short.words}", tree, last))
        if call.name in calls.WRITES and call.size != 1:
            half = _with_half(tree, short.path, call)
            writes.append(State(f"in the middle of {short.words}", half, last))
        moment = f"power cut before {short.words}"
        cuts["forgets"].append(State(moment, disk.forgetting(), last))
        cuts["zeros"].append(State(moment, disk.with_zeros(tree), last))
        if call.name in calls.SYNCS:
            disk.sync(Path(call.path))
        reader.touched(call)
    ended = child.wait()
    assert ended.code == 0, ended.said
    return Recording(folder, counts, tuple(writes), {k: tuple(v) for k, v in cuts.items()})


def put_back(state: State, recording: Recording, folder: Path) -> None:
    """Make a folder hold what the recorded one did; its run.json names this one."""
    for name, content in sorted(state.tree.items()):
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            before, now = json.dumps(str(recording.folder)), json.dumps(str(folder))
            own = path.name == "run.json"
            path.write_bytes(
                content.replace(before[1:-1].encode(), now[1:-1].encode()) if own else content
            )


def distinct(states: tuple[State, ...]) -> list[State]:
    """One of those that differ in no more than what half-written checkpoints hold.

    Such a file is never read, but its name is on the way of the next one.
    """
    found: dict[object, State] = {}
    for state in states:
        found.setdefault(key(state), state)
    return [*found.values()]


def key(state: State) -> object:
    """What two states share that need be tried once."""
    return frozenset(
        (name, b"" if ".staging/" in name and content is not None else content)
        for name, content in state.tree.items()
    )


class _Reader:
    """Reads the tree again and again, and of its files only those that changed."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder, self.out = folder, out
        self.known: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        self.stale: set[str] = set()

    def touched(self, call: Call) -> None:
        """What a call is about to change is read anew, whatever its time says."""
        self.stale |= {call.path, call.other}

    def read(self) -> Tree:
        found: dict[str, bytes | None] = {}
        for path in _walk(self.out):
            name = str(path.relative_to(self.folder))
            found[name] = None if path.is_dir() else self._content(path)
        self.stale.clear()
        return found

    def _content(self, path: Path) -> bytes:
        seen = path.stat()
        now = (seen.st_ino, seen.st_size, seen.st_mtime_ns)
        before = self.known.get(str(path))
        if before is None or before[0] != now or str(path) in self.stale:
            content = path.read_bytes()
            if before and before[1] == content:
                content = before[1]
            self.known[str(path)] = (now, content)
        return self.known[str(path)][1]


def _walk(folder: Path) -> Iterator[Path]:
    if folder.exists():
        yield folder
        for root, folders, names in os.walk(folder):
            yield from (Path(root) / name for name in (*folders, *names))


def _with_half(tree: Tree, path: str, call: Call) -> Tree:
    content, half = tree.get(path) or b"", calls.written(call)
    half = half[: len(half) // 2]
    place = calls.place_of(call)
    place = len(content) if place < 0 else place
    written = content[:place].ljust(place, b"\0") + half + content[place + len(half) :]
    return {**tree, path: written}


def _below(path: str, folder: Path) -> str:
    return path.removeprefix(f"{folder}/")
