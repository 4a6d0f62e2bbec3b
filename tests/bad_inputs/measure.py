"""Run every row in a process of its own and count: as wanted, and processor seconds.

Prints the table of docs/reliability.md. Rows that load a model are run, and not in the seconds.
Run: python tests/bad_inputs/measure.py [part of a row's name]
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bad_rows
import bad_tables

KINDS = {
    "recipe": "recipes, overrides, folders",
    "data": "images, folders, tables",
    "source": "annotations, archives, hub folders",
    "run": "runs, checkpoints, adapters",
    "model": "base models",
    "command": "options and places of other commands",
}


@dataclass(frozen=True)
class Measured:
    """A row's end. seconds: of the processor, from the start of Python on."""

    kind: str
    loads: bool
    right: bool
    seconds: float


def main() -> None:
    """Run all rows, or those whose name holds a word, and print the table."""
    wanted = sys.argv[1] if sys.argv[1:] else ""
    lines = bad_rows.expected()
    subprocess.run([sys.executable, "-m", "rftkit", "--version"], check=True)  # its files are read
    found = [
        measured(name, row, lines[name]) for name, row in bad_tables.ROWS.items() if wanted in name
    ]
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print("| bad input | rows | as wanted | median | 95 of 100 under | most |")
    print("|---|--:|--:|--:|--:|--:|")
    for kind, words in KINDS.items():
        show(words, [one for one in found if one.kind == kind])
    show("**together**", found)


def measured(name: str, row: bad_rows.Row, line: str) -> Measured:
    """A row, run as a person runs it."""
    with tempfile.TemporaryDirectory() as made:
        os.chdir(made)
        ended = run(row, Path(made))
        said = ended.line(Path(made))
        os.chdir("/")
    right = (ended.code, ended.changed, said) == (row.code, [], line)
    if not right or (ended.seconds > 2 and not row.loads):
        what = f"{ended.seconds:.1f} s, {ended.code}, {ended.changed[:3]}, {said}"
        print(f"{name}: {what}", file=sys.stderr)
    return Measured(name.partition(":")[0], row.loads, right, ended.seconds)


def run(row: bad_rows.Row, folder: Path) -> bad_rows.Ended:
    """The end of a process of its own; of this one with a model, or words that no shell passes."""
    if row.loads or any("\0" in word for word in row.words):
        return bad_rows.run(row, folder)
    before = bad_rows.prepared(row, folder)
    earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "rftkit", *row.words],
        input=row.stdin, capture_output=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = now.ru_utime + now.ru_stime - earlier.ru_utime - earlier.ru_stime
    changed = bad_rows.changed_since(before, folder)
    return bad_rows.Ended(
        done.returncode, done.stdout.decode(), done.stderr.decode(), seconds, changed
    )


def show(words: str, rows: list[Measured]) -> None:
    """One line of the table; seconds of the rows that need no model."""
    if not rows:
        return
    right = sum(one.right for one in rows)
    seconds = sorted(one.seconds for one in rows if not one.loads)
    times = "| | | |"
    if seconds:
        high = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        times = f"| {statistics.median(seconds):.1f} s | {high:.1f} s | {seconds[-1]:.1f} s |"
    print(f"| {words} | {len(rows)} | {right} {times}")


if __name__ == "__main__":
    main()
