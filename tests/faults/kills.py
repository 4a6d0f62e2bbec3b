"""kill -9 at random moments: of a run, and of the run that continues it."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from forked import Child, start
from same_run import (
    RUN,
    Method,
    Wanted,
    after,
    complaints,
    go_on,
    last_step,
    newest_whole,
    prepare,
)
from trials import Trial

from rftkit.runs.run import RunFolder, is_run

SHARES: tuple[tuple[Method, int, float], ...] = (  # method, save every, share of the kills
    ("grpo", 1, 0.35),
    ("grpo", 2, 0.15),
    ("sft", 1, 0.25),
    ("exact", 1, 0.25),
)
AGAIN = 0.25  # share of the trials whose continuation is killed as well
LATER = 4  # kills that come after the end, before one that does not


def trials(count: int, wanted: Mapping[tuple[Method, int], Wanted], seed: int) -> list[Trial]:
    """So many kills, spread over the methods; the moments are drawn from the seed."""
    found = []
    for number in range(count):
        method, every = _share(number, count)
        rng = random.Random(f"{seed} {number}")
        goal = wanted[method, every]
        moments = [rng.random() for _ in range(1 + (rng.random() < AGAIN))]
        words = " and ".join(f"{moment:.0%}" for moment in moments)
        name = f"kill -9 of {method}, saved every {every}, at {words} of its time"

        def attempt(
            folder: Path, goal: Wanted = goal, moments: Sequence[float] = moments
        ) -> list[str]:
            return killed(folder, goal, moments)

        found.append(Trial(method, name, attempt))
    return found


def killed(folder: Path, wanted: Wanted, moments: Sequence[float]) -> list[str]:
    """Kill a run at parts of its time, then continue it; what is not as wanted."""
    prepare(folder, wanted.method, wanted.steps)
    words = wanted.words
    for moment in moments:
        child, seconds = start(words, folder), moment * wanted.seconds
        for _ in range(LATER):
            if not child.over_after(seconds):
                break
            if (folder / RUN / "run.json").exists() and "--resume" in words:
                return complaints(folder, wanted)  # it had little left to do
            child.wait()
            _clear(folder)
            seconds *= 0.7
            child = start(words, folder)
        lost = _kill(child, folder, wanted)
        if lost:
            return lost
        words = [*wanted.words, *(["--resume"] if is_run(folder / RUN) else [])]
    return after(go_on(folder, wanted), folder, wanted)


def moment_of(run: RunFolder) -> str:
    """What a run was doing, from its folder."""
    if not is_run(run.folder):
        return "start"
    if (run.evaluations / "test" / "samples.jsonl").exists():
        return "evaluation"
    return "training"


def _kill(child: Child, folder: Path, wanted: Wanted) -> list[str]:
    child.send(signal.SIGKILL)
    child.wait()
    run = RunFolder(folder / RUN)
    with (folder.parent / "moments.txt").open("a", encoding="utf-8") as moments:
        moments.write(f"{moment_of(run)}\n")
    lost = last_step(run) - newest_whole(run)
    if lost > wanted.save_every:
        return [f"{lost} steps are lost, where it saves every {wanted.save_every}"]
    return []


def _clear(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder / RUN.parent)


def _share(number: int, count: int) -> tuple[Method, int]:
    reached = 0.0
    for method, every, share in SHARES:
        reached += share
        if (number + 0.5) / count < reached:
            return method, every
    return SHARES[-1][:2]
