"""kill -9 of a study, whose runs are processes of their own, and the same command again at once."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forked import Ended, run, start
from same_run import facts
from trials import Trial

from rftkit.study import plan_study

STUDY = """
recipes = ["tiny_sft"]
seeds = [0, 1]
[set]
"method.steps" = 3
"method.batch_size" = 2
"eval.limit" = 4
"eval.batch_size" = 1
"""
WORDS = ["study", "study.toml", "--out", "out"]


def prepare(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(STUDY, "utf-8")
    return folder


def uninterrupted(folder: Path) -> tuple[Mapping[str, Any], float]:
    """The facts of a study that nothing happened to, and its seconds on the clock."""
    began = time.monotonic()
    ended = run(WORDS, prepare(folder))
    assert ended.code == 0, ended.said
    return study_facts(folder), time.monotonic() - began


def study_facts(folder: Path) -> dict[str, Any]:
    """Of every run; what became of the study."""
    found: dict[str, Any] = {}
    for name, state in plan_study(folder / "study.toml", folder / "out"):
        found[name] = state
        found |= {f"{name} {key}": value for key, value in facts(folder / "out" / name).items()}
    summary = json.loads((folder / "out" / "study.json").read_text("utf-8"))
    return found | {"finished": summary["finished"], "failures": summary["failures"]}


def trials(count: int, wanted: Mapping[str, Any], seconds: float, seed: int) -> list[Trial]:
    """So many kills of the study's own process, at moments drawn from the seed."""
    rng = random.Random(f"{seed} study")
    return [
        Trial(
            "study",
            f"kill -9 of a study at {moment:.0%} of its time",
            lambda folder, moment=moment: _killed(folder, wanted, moment * seconds),
        )
        for moment in (rng.random() for _ in range(count))
    ]


def _killed(folder: Path, wanted: Mapping[str, Any], seconds: float) -> list[str]:
    child = start(WORDS, prepare(folder))
    child.over(seconds)
    child.send(signal.SIGKILL)
    child.wait()
    ended: Ended = run(WORDS, folder)
    if ended.code or "Traceback" in ended.said:
        return [f"exit code {ended.code}: {ended.said[-800:]}"]
    now = study_facts(folder)
    return [
        f"{name} differs" for name in sorted({*wanted, *now}) if wanted.get(name) != now.get(name)
    ]
