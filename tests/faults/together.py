"""Two commands on one run at once; clocks that jump; other versions of libraries on resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from forked import Child, Ended, run, start
from same_run import RUN, Wanted, after, complaints, go_on, prepare
from trials import Trial

from rftkit.runs.run import RunFolder

YEARS = 365 * 24 * 3600.0
JUMPS = {"ten years on": 10 * YEARS, "a day back": -YEARS / 365, "to 1995": -31 * YEARS}


def locks(stopped: Mapping[str, Path], wanted: Wanted) -> list[Trial]:
    """stopped: copies of a run that was killed in training, and in evaluation."""
    resume = [*wanted.words, "--resume"]
    evaluate = ["eval", "--ckpt", str(RUN)]

    def both(folder: Path, place: Path | None, words: list[list[str]]) -> list[str]:
        if place:
            shutil.copytree(place, folder)
        else:
            prepare(folder, wanted.method, wanted.steps)
        ends = _at_once(folder, words)
        found = [line for ended in ends for line in _done_or_refused(ended)]
        if not any(ended.code == 0 for ended in ends):
            found.append("none of them succeeded")
        for extra in (folder / RUN.parent).glob(f"{RUN.name}-*"):  # a start finds a folder taken
            shutil.rmtree(extra)
        if place:  # who was refused comes again
            return found + after(go_on(folder, wanted), folder, wanted)
        return found + complaints(folder, wanted)

    training, evaluation = stopped["training"], stopped["evaluation"]
    cases: list[tuple[str, Path | None, list[list[str]]]] = [
        ("two starts", None, [wanted.words] * 2),
        ("four starts", None, [wanted.words] * 4),
        ("two that resume training", training, [resume] * 2),
        ("three that resume training", training, [resume] * 3),
        ("two that resume an evaluation", evaluation, [resume] * 2),
        ("resume and eval", evaluation, [resume, evaluate]),
    ]
    found = [
        Trial("at once", f"{name} at once", lambda folder, case=case: both(folder, *case))
        for name, *case in cases
    ]

    def while_it_trains(folder: Path, words: list[str]) -> list[str]:
        prepare(folder, wanted.method, wanted.steps)
        child = start(wanted.words, folder)
        if not child.wait_until((folder / RUN / "metrics.jsonl").exists):
            return ["it ended before that"]
        child.send(signal.SIGSTOP)
        ended = start(words, folder, log="second.txt").wait()
        child.send(signal.SIGCONT)
        found = [] if ended.code == 1 else [f"exit code {ended.code}: {ended.line}"]
        expected = f"in use by process {child.pid} on "
        found += [] if expected in ended.line else [f"it says {ended.line!r}"]
        return found + after(child.wait(), folder, wanted)

    def looked_at(folder: Path, words: list[str]) -> list[str]:
        prepare(folder, wanted.method, wanted.steps)
        child = start(wanted.words, folder)
        if not child.wait_until((folder / RUN / "metrics.jsonl").exists):
            return ["it ended before that"]
        ended = start(words, folder, log="second.txt").wait()
        found = _done_or_refused(ended)
        return found + after(child.wait(), folder, wanted)

    found.append(Trial("held", "resume while it trains", lambda f: while_it_trains(f, resume)))
    found += [
        Trial("looking", f"{' '.join(words)} while it trains", lambda f, w=words: looked_at(f, w))
        for words in (["report", str(RUN)], ["runs", "out"], ["runs", "out", "--json"])
    ]
    return found


def clocks(stopped: Mapping[str, Path], wanted: Wanted) -> list[Trial]:
    """The clock of the machine, or the times of files, are others than they should be."""

    def jumping(folder: Path, seconds: float) -> list[str]:
        prepare(folder, wanted.method, wanted.steps)
        return after(run(wanted.words, folder, lambda: _jump(seconds)), folder, wanted)

    def touched(folder: Path, place: Path, seconds: float) -> list[str]:
        shutil.copytree(place, folder)
        for path in folder.rglob("*"):
            os.utime(path, (time.time() + seconds,) * 2)
        return after(go_on(folder, wanted), folder, wanted)

    found = [
        Trial("clock", f"the clock jumps {name} in training", lambda f, s=s: jumping(f, s))
        for name, s in JUMPS.items()
    ]
    return found + [
        Trial(
            "clock", f"all files {name}, killed in {moment}", lambda f, p=p, s=s: touched(f, p, s)
        )
        for moment, p in stopped.items()
        for name, s in JUMPS.items()
    ]


def versions(stopped: Mapping[str, Path], wanted: Wanted) -> list[Trial]:
    """Libraries are other versions than when the run began: listed, then resumed."""
    recorded = RunFolder(stopped["training"] / RUN).status()["versions"]

    def changed(folder: Path, place: Path, names: list[str]) -> list[str]:
        shutil.copytree(place, folder)
        file = folder / RUN / "run.json"
        status = json.loads(file.read_text("utf-8"))
        status["versions"] |= dict.fromkeys(names, "0.0.1")
        file.write_text(json.dumps(status), "utf-8")
        ended = go_on(folder, wanted)
        listed = [f"{name} 0.0.1 -> {recorded[name]}" for name in names]
        found = [f"does not list {line!r}" for line in listed if line not in ended.said]
        return found + after(ended, folder, wanted)

    cases = [[name] for name in recorded if name != "rftkit"] + [[*recorded]]
    return [
        Trial(
            "versions",
            f"another {', '.join(names)}, killed in {moment}",
            lambda f, p=place, n=names: changed(f, p, n),
        )
        for moment, place in stopped.items()
        for names in cases
    ]


def _at_once(folder: Path, words: list[list[str]]) -> list[Ended]:
    children: list[Child] = [
        start(line, folder, log=f"said-{number}.txt") for number, line in enumerate(words)
    ]
    return [child.wait() for child in children]


def _done_or_refused(ended: Ended) -> list[str]:
    if "Traceback" in ended.said or ended.code not in (0, 1):
        return [f"exit code {ended.code}: {ended.said[-1500:]}"]
    refused = ("in use by", "no run here", "nothing trained", "no finished", "not evaluated")
    if ended.code == 1 and not any(part in ended.line for part in refused):
        return [f"refused for another reason: {ended.line}"]
    return []


def _jump(seconds: float) -> None:
    """In the process of a trial: after its first checkpoint the clock is another one."""
    from datetime import datetime, timedelta, tzinfo

    from rftkit import files
    from rftkit.runs import checkpoints

    clock, settle = time.time, checkpoints.settle

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(seconds=seconds)

    def settled(staged: Path, final: Path) -> Path:
        time.time = lambda: clock() + seconds
        files.datetime = Shifted
        return settle(staged, final)

    checkpoints.settle = settled
