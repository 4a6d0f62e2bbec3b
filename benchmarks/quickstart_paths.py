"""Train the quickstart by TRL's own path and by shared prefixes, and print what each ends at.

    python benchmarks/quickstart_paths.py --seeds 0 1 2 --out out/paths

The two paths take turns, seed by seed, each run in a process of its own with one thread. Seconds
are those that the process got on the processor, for the whole run with its evaluations; memory is
its peak. A run that is there already is read, not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

RECIPE = Path(__file__).parent.parent / "recipes" / "quickstart.toml"
PATHS = ("trl", "shared")
COST = "cost.json"
HEAD = "| path | base, % | tuned, % | processor, s | peak, GB |"


class Row(NamedTuple):
    """What one run gained and cost."""

    base: float
    tuned: float
    seconds: float
    peak_bytes: int


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("out/paths"))
    parser.add_argument("--train", choices=PATHS, help=argparse.SUPPRESS)  # a child's own work
    given = parser.parse_args()
    if given.train:
        return train(given.train, given.seeds[0], given.out)
    rows: dict[str, list[Row]] = {path: [] for path in PATHS}
    for seed in given.seeds:
        for path in PATHS:
            rows[path].append(run(path, seed, given.out / f"{path}-seed{seed}"))
            print(f"{path}, seed {seed}: {rows[path][-1]}", file=sys.stderr, flush=True)
    print(HEAD + "\n" + "|---" * HEAD.count(" |") + "|")
    for path in PATHS:
        print(line(path, rows[path]))
    return None


def run(path: str, seed: int, out: Path) -> Row:
    """Train by a path in a process of its own, unless it has been done, and read its result."""
    if not (out / COST).exists():
        command = [sys.executable, __file__, "--train", path, "--seeds", str(seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, "--out", str(out)], check=True, env=environment, stdout=2)
    summary = json.loads((out / "eval" / "test" / "summary.json").read_text("utf-8"))
    base, tuned = (100 * summary[side]["accuracy"]["value"] for side in ("base", "tuned"))
    return Row(base, tuned, **json.loads((out / COST).read_text("utf-8")))


def train(path: str, seed: int, out: Path) -> None:
    """Train and evaluate the quickstart by this path, and write down what it cost."""
    from rich.console import Console

    from rftkit.training import run
    from rftkit.training.request import TrainRequest

    trainer = "shared" if path == "shared" else "trl"
    changes = (f"seed={seed}", f"method.trainer={trainer}")
    request = TrainRequest(recipe=RECIPE, out=out, overrides=changes)
    run.train(request, Console(stderr=True))
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    cost = {"seconds": used.ru_utime + used.ru_stime, "peak_bytes": used.ru_maxrss * unit}
    (out / COST).write_text(json.dumps(cost) + "\n", "utf-8")


def line(path: str, rows: list[Row]) -> str:
    """The rows of a path's seeds as one line of a table."""

    def each(shown: Callable[[Row], str]) -> str:
        return " / ".join(shown(row) for row in rows)

    cells = [
        each(lambda row: f"{row.base:.1f}"),
        each(lambda row: f"{row.tuned:.1f}"),
        each(lambda row: f"{row.seconds:.0f}"),
        f"{max(row.peak_bytes for row in rows) / 1e9:.1f}",
    ]
    return f"| {path} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
