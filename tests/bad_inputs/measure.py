"""Run every row and count: as wanted, and processor seconds.

Prints the table of docs/reliability.md. Seconds are those of a process of its own, from the start
of Python on, of rows that load no model; of one row in so many, since each takes a second or two.
Run: python tests/bad_inputs/measure.py [one in so many, default 1]
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
    """A row's end. seconds: of the processor, from the start of Python on; None if not timed."""

    kind: str
    right: bool
    seconds: float | None


def main() -> None:
    """Run all rows and print the table."""
    step = int(sys.argv[1]) if sys.argv[1:] else 1
    lines = bad_rows.expected()
    subprocess.run([sys.executable, "-m", "rftkit", "--version"], check=True)  # its files are read
    found = [
        measured(name, row, lines[name], timed=not (row.loads or number % step))
        for number, (name, row) in enumerate(bad_tables.ROWS.items())
    ]
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print("| bad input | rows | as wanted | timed | median | 95 of 100 under | most |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for kind, words in KINDS.items():
        show(words, [one for one in found if one.kind == kind])
    show("**together**", found)


def measured(name: str, row: bad_rows.Row, line: str, *, timed: bool) -> Measured:
    """A row, run as a person runs it; else in this process, as the tests do."""
    timed = timed and not any("\0" in word for word in row.words)  # which no shell passes
    with tempfile.TemporaryDirectory() as made:
        os.chdir(made)
        ended = (run if timed else bad_rows.run)(row, Path(made))
        said = ended.line(Path(made))
        os.chdir("/")
    right = (ended.code, ended.changed, said) == (row.code, [], line)
    if not right or (timed and ended.seconds > 2):
        what = f"{ended.seconds:.1f} s, {ended.code}, {ended.changed[:3]}, {said}"
        print(f"{name}: {what}", file=sys.stderr)
    return Measured(name.partition(":")[0], right, ended.seconds if timed else None)


def run(row: bad_rows.Row, folder: Path) -> bad_rows.Ended:
    """The end of a process of its own."""
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
    seconds = sorted(one.seconds for one in rows if one.seconds is not None)
    times = "| | | |"
    if seconds:
        high = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        times = f"| {statistics.median(seconds):.1f} s | {high:.1f} s | {seconds[-1]:.1f} s |"
    print(f"| {words} | {len(rows)} | {right} | {len(seconds)} {times}")


if __name__ == "__main__":
    main()
