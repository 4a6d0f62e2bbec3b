"""Run the tiny recipes on several seeds and print a table of what they gain and cost.

    python benchmarks/tiny_recipes.py quickstart tiny_direct --seeds 0 1 2 --out out/bench

One line per recipe: accuracy of base and fine-tuned model for each seed, the difference with its
interval, seconds of training and of the whole command, and the peak memory of an evaluation. A run
that is there already is read, not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

RECIPES = Path(__file__).parent.parent / "recipes"
HEAD = "| recipe | base, % | tuned, % | difference, points (95 % interval) | train, s | eval, GB |"


class Row(NamedTuple):
    """What one run gained and cost."""

    base: float
    tuned: float
    interval: tuple[float, float]
    train_seconds: float
    peak_bytes: int
    halves: str


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("recipes", nargs="+", help="names in recipes/, without .toml")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    given = parser.parse_args()
    print(HEAD + "\n" + "|---" * 6 + "|")
    for name in given.recipes:
        rows = [run(name, seed, given.out / f"{name}-seed{seed}") for seed in given.seeds]
        print(line(name, rows), flush=True)


def run(name: str, seed: int, out: Path) -> Row:
    """Train by a recipe, unless it has been done, and read its result."""
    if not (out / "eval" / "test" / "summary.json").exists():
        recipe = str(RECIPES / f"{name}.toml")
        command = [sys.executable, "-m", "rftkit", "train", recipe, "--out", str(out)]
        started = time.perf_counter()
        subprocess.run([*command, "--set", f"seed={seed}"], check=True, stdout=sys.stderr)
        print(f"{out}: {time.perf_counter() - started:.0f} s in all", file=sys.stderr)
    summary = json.loads((out / "eval" / "test" / "summary.json").read_text("utf-8"))
    metrics = [json.loads(text) for text in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    sides, found = [summary["base"], summary["tuned"]], summary["difference"]
    return Row(
        base=100 * sides[0]["accuracy"]["value"],
        tuned=100 * sides[1]["accuracy"]["value"],
        interval=(100 * found["low"], 100 * found["high"]),
        train_seconds=sum(step["seconds"] for step in metrics),
        peak_bytes=max(side["speed"]["peak_memory_bytes"] or 0 for side in sides),
        halves=" → ".join(halves(side) for side in sides if side["halves"]),
    )


def halves(side: dict[str, dict[str, dict[str, float]]]) -> str:
    """Base classes, new classes and H of one side, in per cent."""
    values = [100 * side["halves"][part]["value"] for part in ("base", "new", "harmonic")]
    return " / ".join(f"{value:.1f}" for value in values)


def line(name: str, rows: list[Row]) -> str:
    """The rows of a recipe's seeds as one line of a table."""
    differences = [
        f"{row.tuned - row.base:+.1f} ({row.interval[0]:+.1f} to {row.interval[1]:+.1f})"
        for row in rows
    ]
    cells = [
        f"`{name}`",
        " / ".join(f"{row.base:.1f}" for row in rows),
        " / ".join(f"{row.tuned:.1f}" for row in rows),
        ", ".join(differences),
        " / ".join(f"{row.train_seconds:.0f}" for row in rows),
        f"{max(row.peak_bytes for row in rows) / 1e9:.1f}",
    ]
    noted = [f"{name}, base / new / H: {row.halves}" for row in rows if row.halves]
    return "| " + " | ".join(cells) + " |" + "".join(f"\n{note}" for note in noted)


if __name__ == "__main__":
    main()
