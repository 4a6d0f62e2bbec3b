"""`make faults`: every kind of fault, many times, and a table of what became of the runs.

Exits with 1 if a run did not end as it would have ended; its folder is kept and named.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import calls
import damage
import disks
import each_write
import forked
import kills
import signals
import studies
import table
import together
from recorded import Recording, put_back, record
from same_run import RUN, Method, Wanted, prepare, uninterrupted, words
from trials import Tally, Trial, attempt_all

STEPS = 3
# trials of each kind, and of others one
QUICK = {"kills": 2, "writes": 3, "cuts": 2, "damage": 2, "calls": 2, "signals": 2}


@dataclass(frozen=True)
class Prepared:
    """What trials begin from. stopped: copies of a run killed in training and in evaluation."""

    folder: Path
    wanted: Mapping[tuple[Method, int], Wanted]
    recording: Recording
    stopped: Mapping[str, Path]
    checkpoint: int  # bytes

    @property
    def grpo(self) -> Wanted:
        return self.wanted["grpo", 1]

    @property
    def changes(self) -> int:
        return sum(self.recording.calls.values())


def prepared(folder: Path, say: Callable[[str], None], all_methods: bool = True) -> Prepared:
    """Import everything, train what nothing happens to, and record one run."""
    warnings.simplefilter("ignore")
    forked.preload(words(1), prepare(folder / "first", "grpo", 1))
    shares = kills.SHARES if all_methods else kills.SHARES[:1]
    wanted = {
        (method, every): uninterrupted(folder / f"{method}-{every}", method, STEPS, every)
        for method, every, _ in shares
    }
    goal = wanted["grpo", 1]
    recording = record(prepare(folder / "recorded", "grpo", STEPS), goal)
    say(f"recorded {sum(recording.calls.values())} changes to files in a run")
    newest = folder / "grpo-1" / RUN / "checkpoints" / f"step-{STEPS:06d}"
    size = sum(path.stat().st_size for path in newest.iterdir())
    return Prepared(folder, wanted, recording, _stopped(folder, recording), size)


def _stopped(folder: Path, recording: Recording) -> dict[str, Path]:
    """Two moments of the recorded run, as folders."""
    signs = {
        "training": f"before mkdir {RUN}/checkpoints/.staging/checkpoint-{STEPS}",
        "evaluation": f"before write {RUN}/eval/test/samples.jsonl",
    }
    found = {}
    for moment, sign in signs.items():
        states = [state for state in recording.writes if state.words.startswith(sign)]
        place = prepare(folder / f"killed-in-{moment}", "grpo", STEPS)
        put_back(states[min(2, len(states) - 1)], recording, place)
        found[moment] = place
    return found


def kinds(ready: Prepared, options: argparse.Namespace) -> dict[str, Callable[[], list[Trial]]]:
    """Kind -> what makes its trials, in the order in which they run."""
    goal, stopped, seed = ready.grpo, ready.stopped, options.seed
    finished = ready.folder / "grpo-1"
    mounts = disks.can_mount()

    def study() -> list[Trial]:
        wanted, seconds = studies.uninterrupted(ready.folder / "study")
        return studies.trials(options.studies, wanted, seconds, seed)

    def adapters() -> list[Trial]:
        return [
            Trial(
                "adapter",
                f"the adapter of a finished run {name}",
                lambda folder, harm=harm: damage.finished_adapter(folder, finished, goal, harm),
            )
            for name, harm in damage.HARMS.items()
        ]

    return {
        "kills": lambda: kills.trials(options.kills, ready.wanted, seed),
        "writes": lambda: each_write.kills(ready.recording, goal),
        "cuts": lambda: each_write.cuts(ready.recording, goal),
        "damage": lambda: [*damage.trials(stopped, goal), *adapters()],
        "full": lambda: disks.full(goal, ready.checkpoint) if mounts else [],
        "read-only": lambda: disks.read_only(goal) if mounts else [],
        "calls": lambda: disks.failing(goal, ready.changes, options.calls, seed),
        "signals": lambda: signals.trials(goal, ready.changes, options.signals, seed),
        "locks": lambda: together.locks(stopped, goal),
        "clocks": lambda: together.clocks(stopped, goal),
        "versions": lambda: together.versions(stopped, goal),
        **({"studies": study} if options.studies and not options.quick else {}),
    }


def main() -> int:
    options = _options()
    if not calls.supported():
        print("faults: needs Linux on x86-64 or arm64", file=sys.stderr)
        return 1
    folder, began = Path(tempfile.mkdtemp(prefix="rftkit-faults-")), time.monotonic()
    ready = prepared(folder, _say)
    tallies: dict[str, Tally] = {}
    for kind, make in kinds(ready, options).items():
        if options.only and kind not in options.only.split(","):
            continue
        started = time.monotonic()
        chosen = _spread(make(), QUICK.get(kind, 1) if options.quick else options.most)
        tally = attempt_all(chosen, folder / kind, options.workers, _say)
        tallies[kind] = tally
        _say(table.line(kind, tally, time.monotonic() - started, ready.recording, folder))
        if options.write and tally.trials:
            table.write({kind: tally}, ready.recording, folder, options, began)
    failed = sum(len(tally.failures) for tally in tallies.values())
    if not failed:
        shutil.rmtree(folder)
    _say(f"{failed} not as wanted{f', kept in {folder}' if failed else ''}")
    return int(failed > 0)


def _spread(trials: list[Trial], most: int) -> list[Trial]:
    """At most so many, from all over the list."""
    count = min(most, len(trials))
    return [trials[(2 * number + 1) * len(trials) // (2 * count)] for number in range(count)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="random kills of a run")
    parser.add_argument("--studies", type=int, default=10, help="random kills of a study")
    parser.add_argument("--signals", type=int, default=40, help="signals at changes to files")
    parser.add_argument("--calls", type=int, default=45, help="moments where changes begin to fail")
    parser.add_argument("--only", default="", help="kinds, with commas between them")
    parser.add_argument("--most", type=int, default=10_000, help="trials of a kind, spread evenly")
    parser.add_argument("--quick", action="store_true", help="a few of each kind: minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="write the table of the documentation")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
