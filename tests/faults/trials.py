"""Trials of one kind after another, on several processes, and what became of them."""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LENGTH = 4  # bytes of a number in the pipe, which a read takes whole


class Trial(NamedTuple):
    """Something done to a run. attempt: given an empty folder's path, what is not as wanted."""

    group: str
    name: str
    attempt: Callable[[Path], Sequence[str]]


@dataclass
class Tally:
    """What became of the trials of a kind."""

    trials: int = 0
    as_wanted: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def attempt_all(
    trials: Sequence[Trial], folder: Path, workers: int, say: Callable[[str], None]
) -> Tally:
    """Try all, each in a folder of its own; that of a failure is kept and named."""
    if not trials:
        return Tally()
    folder.mkdir(parents=True, exist_ok=True)
    todo_out, todo_in = os.pipe()
    begun = [_fork(trials, folder, todo_out, todo_in, worker) for worker in range(workers)]
    os.close(todo_out)
    with os.fdopen(todo_in, "wb", buffering=0) as todo:
        for number in range(len(trials)):
            todo.write(number.to_bytes(LENGTH, "little"))
    for pid in begun:
        os.waitpid(pid, 0)
    return _tally(trials, folder, workers, say)


# torch's threads do not always outlive a fork, which no user's run is
FORKED, TRIES = "Invalid thread pool", 3


def _fork(trials: Sequence[Trial], folder: Path, todo_out: int, todo_in: int, worker: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.close(todo_in)
        with (folder / f"results-{worker}.jsonl").open("w", encoding="utf-8") as results:
            while number := os.read(todo_out, LENGTH):
                which = int.from_bytes(number, "little")
                result = _attempt(trials[which], folder / f"{which:04d}")
                results.write(json.dumps([which, result]) + "\n")
                results.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _attempt(trial: Trial, place: Path) -> list[str]:
    """What is not as wanted; without any, nothing is left behind."""
    began = time.monotonic()
    for _ in range(TRIES):
        shutil.rmtree(place, ignore_errors=True)
        try:
            found = list(trial.attempt(place))
        except Exception:
            found = [f"the trial itself failed: {traceback.format_exc()}"]
        if not any(FORKED in one for one in found):
            break
    if found and place.exists():
        (place / "complaints.txt").write_text("\n".join([trial.name, *found]) + "\n", "utf-8")
    if not found:
        shutil.rmtree(place, ignore_errors=True)
    if os.environ.get("FAULTS_SHOW"):
        print(f"{time.monotonic() - began:.1f} s  {trial.name}  {found[:3]}", flush=True)
    return found


def _tally(
    trials: Sequence[Trial], folder: Path, workers: int, say: Callable[[str], None]
) -> Tally:
    results: dict[int, list[str]] = {}
    for worker in range(workers):
        with (folder / f"results-{worker}.jsonl").open(encoding="utf-8") as lines:
            results |= dict(map(json.loads, lines))
    tally = Tally(len(trials))
    for number, trial in enumerate(trials):
        found = results.get(number, ["it was not tried: a worker died"])
        tally.groups[trial.group] += 1
        if not found:
            tally.as_wanted += 1
            continue
        line = f"{trial.name}: {'; '.join(found[:4])}  ({folder / f'{number:04d}'})"
        tally.failures.append(line)
        say(f"not as wanted: {line}")
    return tally


def counted(groups: Mapping[str, int]) -> str:
    """`3 training, 2 evaluation`."""
    return ", ".join(f"{count} {name}" for name, count in groups.items() if name)
