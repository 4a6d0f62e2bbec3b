"""Ctrl-C and SIGTERM, once and twice, in every part of a run and before its changes to files."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from calls import Watch
from forked import Child, Ended, run, start
from same_run import RUN, Wanted, after, complaints, go_on, last_step, newest_whole, prepare
from trials import Trial

from rftkit.files import read_lines
from rftkit.runs.run import RunFolder, is_run

BEGUN = "said-begun"
BOTH = (signal.SIGINT, signal.SIGTERM)


def trials(wanted: Wanted, changes: int, count: int, seed: int) -> list[Trial]:
    """By events, and at `count` of the changes to files, drawn from the seed."""
    found = [*_by_events(wanted)]
    rng = random.Random(f"{seed} signals")
    for number in range(count):
        at, which = rng.randrange(changes), BOTH[number % 2]

        def attempt(folder: Path, at: int = at, which: int = which) -> list[str]:
            return _at_change(folder, wanted, at, which)

        found.append(Trial("at a change", f"{which.name} at change {at}", attempt))
    return found


def _moments(folder: Path) -> Mapping[str, Callable[[], bool]]:
    out = RunFolder(folder / RUN)
    samples = out.evaluations / "test" / "samples.jsonl"
    return {
        "start": (folder / BEGUN).exists,
        "loading": out.status_file.exists,
        "training": lambda: out.metrics.exists() and last_step(out) >= 1,
        "evaluation": lambda: samples.exists() and len(read_lines(samples)) >= 2,
    }


def _by_events(wanted: Wanted) -> Iterator[Trial]:
    for which in BOTH:
        for moment in _moments(Path()):
            for times in (1, 2):

                def attempt(
                    folder: Path, moment: str = moment, times: int = times, which: int = which
                ) -> list[str]:
                    return _stopped(folder, wanted, moment, which, times)

                often = "once" if times == 1 else "twice"
                yield Trial(moment, f"{which.name} {often} in {moment}", attempt)

        def evaluating(folder: Path, which: int = which) -> list[str]:
            return _eval_stopped(folder, wanted, which)

        yield Trial("eval", f"{which.name} in rftkit eval", evaluating)


def _stopped(folder: Path, wanted: Wanted, moment: str, which: int, times: int) -> list[str]:
    prepare(folder, wanted.method, wanted.steps)
    child = start(wanted.words, folder, _tell)
    if not child.wait_until(_moments(folder)[moment]):
        return ["it ended before that"]
    _send(child, which, times)
    ended = child.wait()
    found = _end(ended, folder, which, training=moment == "training")
    run_folder = RunFolder(folder / RUN)
    if moment == "training" and times == 1 and not found:
        saved, done = newest_whole(run_folder), last_step(run_folder)
        found += [] if saved == done else [f"step {done} was finished, and {saved} is saved"]
    return found + after(go_on(folder, wanted), folder, wanted)


def _tell() -> None:
    """In the process of a trial: say when the command has begun its work."""
    from rftkit.training.request import TrainRequest

    load = TrainRequest.load

    def told(request: TrainRequest) -> object:
        Path(BEGUN).touch()
        return load(request)

    TrainRequest.load = told


def _send(child: Child, which: int, times: int) -> None:
    """Once; or again when it has said what the first one does, or has not ended by then."""
    child.send(which)
    if times == 2:
        heard = "once more stops at once"
        child.wait_until(lambda: heard in child.log.read_text("utf-8", "replace"))
        child.send(which)


def _eval_stopped(folder: Path, wanted: Wanted, which: int) -> list[str]:
    import shutil

    prepare(folder, wanted.method, wanted.steps)
    run(wanted.words, folder)
    shutil.rmtree(folder / RUN / "eval")
    child = start(["eval", "--ckpt", str(RUN)], folder)
    if not child.wait_until(_moments(folder)["evaluation"]):
        return ["it ended before that"]
    child.send(which)
    ended = child.wait()
    found = _end(ended, folder, which, training=False)
    again = run(["eval", "--ckpt", str(RUN)], folder)
    found += [] if again.code == 0 else [f"eval again: {again.line}"]
    return found + complaints(folder, wanted)


def _at_change(folder: Path, wanted: Wanted, at: int, which: int) -> list[str]:
    prepare(folder, wanted.method, wanted.steps)
    watch, words = Watch(folder), ""
    child = start(wanted.words, folder, watch.begin)
    for number, call in enumerate(watch.calls()):
        if number == at:
            words = call.words
            child.send(which)
    ended = child.wait()
    if ended.code == 0:  # it had no more to do than to say so
        return [f"{words}: {line}" for line in after(ended, folder, wanted)]
    found = _end(ended, folder, which, training=False)
    found += after(go_on(folder, wanted), folder, wanted)
    return [f"{words}: {line}" for line in found]


def _end(ended: Ended, folder: Path, which: int, training: bool) -> list[str]:
    """What is wrong with how it ended."""
    found = []
    if ended.code != 128 + which or "Traceback" in ended.said:
        found.append(f"exit code {ended.code}: {ended.said[-1500:]}")
    begun = is_run(folder / RUN)
    expected = "rftkit: stopped; continue with: " if begun else "rftkit: stopped"
    if not ended.line.startswith(expected):
        found.append(f"the last line is {ended.line!r}")
    if training and "stopping after this step" not in ended.said:
        found.append("it does not say that it stops after this step")
    if locks := [*folder.rglob("lock")]:
        found.append(f"it leaves {locks}")
    return found
