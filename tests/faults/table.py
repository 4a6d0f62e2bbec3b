"""The figures of `make faults`: a line for each kind as it goes, a table in the documentation."""

from __future__ import annotations

import argparse
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from recorded import Recording
from trials import Tally, counted

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
LABELS = {
    "kills": "kill -9 at random moments, then `--resume`",
    "studies": "kill -9 of a study, then the same command at once",
    "writes": "kill -9 before each change to a file, and in the middle of each write",
    "cuts": "power cut before each change to a file",
    "damage": "a file of the run cut, emptied, deleted, or one bit of it changed",
    "full": "full disk: half a checkpoint to four; while evaluating",
    "read-only": "read-only disk",
    "calls": "every change fails from one on: no room, read-only, input/output error",
    "signals": "Ctrl-C and SIGTERM, once and twice",
    "locks": "two commands on one run at once",
    "clocks": "clock or times of files years away",
    "versions": "libraries of other versions on resume",
}
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def line(kind: str, tally: Tally, seconds: float, recording: Recording, folder: Path) -> str:
    """What became of a kind, for the terminal."""
    detail = _detail(kind, tally, recording, folder)
    head = f"{kind}: {tally.as_wanted} of {tally.trials} as wanted, {seconds / 60:.0f} min"
    return f"{head} ({detail})" if tally.trials else f"{kind}: cannot be tried on this machine"


def write(
    tallies: Mapping[str, Tally],
    recording: Recording,
    folder: Path,
    options: argparse.Namespace,
    began: float,
) -> None:
    """Put the rows of these kinds into the page; the others stay."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = {match[1]: match[0] for match in ROW.finditer(old)}
    for kind, tally in tallies.items():
        detail = _detail(kind, tally, recording, folder)
        rows[LABELS[kind]] = f"| {LABELS[kind]} | {detail} | {tally.trials} | {tally.as_wanted} |"
    head = ["| what | of these | trials | as wanted |", "|--|--|--:|--:|"]
    ordered = [rows[label] for label in LABELS.values() if label in rows]
    text = "\n".join([BEGIN, *head, *ordered, "", _ran_on(options, began), END])
    PAGE.write_text(before + text + after, "utf-8")


def _detail(kind: str, tally: Tally, recording: Recording, folder: Path) -> str:
    groups = counted(tally.groups)
    if kind == "kills" and (moments := folder / kind / "moments.txt").exists():
        return f"{groups}; in {counted(Counter(moments.read_text('utf-8').split()))}"
    if kind in ("writes", "cuts"):
        changes = sum(recording.calls.values())
        return f"{changes} changes; {groups}"
    return groups


def _ran_on(options: argparse.Namespace, began: float) -> str:
    import torch

    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, {platform.machine()}"
    minutes = (time.monotonic() - began) / 60
    return (
        f"Made by `make faults`, seed {options.seed}, last rows after {minutes:.0f} minutes on "
        f"{machine}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )
