"""A real study of two runs: stopped in the middle, it continues and finishes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from waiting import HANG_SECONDS, wait_until

from rftkit.files import read_lines
from rftkit.runs.run import RunFolder
from rftkit.study import plan_study, read_study, run_study

pytestmark = pytest.mark.slow

STUDY = """
recipes = ["quickstart"]
seeds = [0]
[set]
"method.steps" = 3
"method.batch_size" = 2
"method.group_size" = 4
"eval.limit" = 20
"""
FIRST, SECOND = "quickstart-think-grpo-16shot-seed0", "quickstart-direct-grpo-16shot-seed0"


def start(study: Path, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "rftkit", "study", str(study), "--out", str(out)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def test_a_study_that_is_stopped_goes_on_where_it_was(tiny: Path, tmp_path: Path) -> None:
    study, out = tmp_path / "s.toml", tmp_path / "out"
    study.write_text(STUDY)
    process = start(study, out)
    metrics = RunFolder(out / FIRST).metrics
    wait_until(lambda: metrics.exists() and read_lines(metrics) != [], process)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=HANG_SECONDS)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        f"rftkit: stopped; continue with: rftkit study {study} --out {out}"
    )
    assert not (out / "lock").exists()
    assert not (out / FIRST / "lock").exists()
    assert plan_study(study, out) == [(FIRST, "begun"), (SECOND, "to do")]
    progress = Console(file=io.StringIO(), width=200)
    found = read_study(run_study(study, out, progress, ""))
    assert "continuing from step" in progress.file.getvalue()  # type: ignore[attr-defined]
    assert (found.finished, found.failures) == (2, ())
    assert [line["step"] for line in read_lines(metrics)] == [1, 2, 3]
    assert [row.style for row in found.rows] == ["think", "direct"]
    assert found.versus[0].contrast.pairs == 20
    assert found.rows[0].tokens_after > found.rows[1].tokens_after
