"""A warm-up by imitation before reinforcement: one run, whatever stops it."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rftkit.files import read_lines
from rftkit.runs.checkpoints import WEIGHTS, in_order
from rftkit.runs.run import RunFolder

pytestmark = pytest.mark.slow

ShortRun = Callable[..., RunFolder]
WARM = ("method.warmup.steps=3", "method.steps=6", "eval.limit=10")
EXACT = ("method.kind=exact", "style=direct", "method.kl=0.02")
KL = ("method.kl=0.1",)
KILLED_AFTER = """
import os, signal, sys
from rftkit.cli.main import main
from rftkit.training import callbacks

append, last = callbacks.append_line, int(sys.argv[1])

def killing(path, record):
    append(path, record)
    if record["step"] == last:
        os.kill(os.getpid(), signal.SIGKILL)

callbacks.append_line = killing
sys.argv = ["rftkit", *sys.argv[2:]]
main()
"""


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.adapter / WEIGHTS)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def curve(run: RunFolder) -> list[tuple[Any, ...]]:
    names = ("step", "phase", "loss", "grad_norm", "learning_rate", "reward", "validation")
    return [tuple(line.get(name) for name in names) for line in read_lines(run.metrics)]


def killed(recipe: Path, out: Path, step: int, *overrides: str) -> RunFolder:
    """A run whose process was killed, with no warning, as soon as it had logged that step."""
    sets = [part for override in overrides for part in ("--set", override)]
    words = ["train", str(recipe), "--out", str(out), "--save-every", "2", "--quiet", *sets]
    done = subprocess.run([sys.executable, "-c", KILLED_AFTER, str(step), *words], check=False)
    assert done.returncode == -signal.SIGKILL
    return RunFolder(out)


def test_imitation_comes_first_and_the_metrics_say_so(short_run: ShortRun) -> None:
    run = short_run(*WARM, *KL, "method.warmup.learning_rate=5e-4")
    lines = read_lines(run.metrics)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["phase"] for line in lines] == ["warmup"] * 3 + ["reinforcement"] * 3
    assert all("token_accuracy" in line and "reward" not in line for line in lines[:3])
    assert all("reward" in line and "kl" in line for line in lines[3:])
    assert [line["learning_rate"] for line in lines] == pytest.approx(
        [5e-4, 5e-4 * 2 / 3, 5e-4 / 3, 1e-3, 1e-3 * 2 / 3, 1e-3 / 3]
    )
    assert lines[3]["kl"] > 1e-6, "the reference is the base, not the model after its warm-up"
    settings = json.loads(run.effective.read_text("utf-8"))
    assert (settings["warm-up trainer"], settings["warm-up max_steps"]) == ("SFTTrainer", "3")
    assert (settings["trainer"], settings["max_steps"]) == ("SharedPrefixTrainer", "3")
    assert settings["checked adapter off"].startswith("log-probabilities differ by")
    assert run.status()["state"] == "finished"
    assert ">warm-up<" in run.report.read_text("utf-8"), "the charts mark it"


@pytest.mark.parametrize(("method", "step"), [(KL, 3), (EXACT, 5)])
def test_a_run_killed_in_either_part_resumes_to_the_same_weights(
    short_run: ShortRun, tmp_path: Path, method: tuple[str, ...], step: int
) -> None:
    """Saved are steps 2, 3 (the last of the warm-up) and 5; the others have to be done again."""
    whole = short_run(*WARM, *method)
    victim = killed(tmp_path / "short.toml", tmp_path / "victim", step, *WARM, *method)
    assert victim.status()["state"] == "running"
    newest = [int(path.name[-6:]) for path in in_order(victim.checkpoints)]
    assert newest[:1] == {3: [2], 5: [3]}[step]
    resumed = short_run(*WARM, *method, out="victim", resume=True)
    assert same(weights(whole), weights(resumed))
    assert curve(whole) == curve(resumed)


def test_validation_measures_both_parts_and_keeps_the_best_step_of_the_run(
    short_run: ShortRun, tmp_path: Path
) -> None:
    checked = (*WARM, *EXACT, "eval.during=2")
    whole = short_run(*checked)
    measured = [line["step"] for line in read_lines(whole.metrics) if "validation" in line]
    assert measured == [2, 3, 4, 6], "the last step of each part too"
    killed(tmp_path / "short.toml", tmp_path / "victim", 5, *checked)
    resumed = short_run(*checked, out="victim", resume=True)
    assert same(weights(whole), weights(resumed))
    assert curve(whole) == curve(resumed)
    ours, theirs = whole.status()["validation"], resumed.status()["validation"]
    assert [ours[key] for key in ("base", "step", "value")] == [
        theirs[key] for key in ("base", "step", "value")
    ]


def test_rationales_of_the_base_are_imitated_from_the_table_that_was_written(
    short_run: ShortRun, tmp_path: Path
) -> None:
    """Stopped once on the way: what had been sampled is kept, and the rest is drawn alike."""
    recipe, out = tmp_path / "short.toml", tmp_path / "reasons"
    small = ("--set", "data.shots=2", "--set", "eval.batch_size=10", "--set", "eval.limit=10")
    words = ["rationales", str(recipe), *small, "--samples", "2", "--out", str(out), "--json"]
    stopping = STOPPED_AFTER_TWO_BATCHES
    done = subprocess.run([sys.executable, "-c", stopping, *words], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "stopped; continue with: " in done.stderr
    partly = read_table(out / "train.csv")
    assert len(partly) == 20
    again = subprocess.run(
        [sys.executable, "-m", "rftkit", *words], capture_output=True, text=True, check=True
    )
    record = json.loads(again.stdout)
    table = read_table(out / "train.csv")
    assert (record["examples"], record["samples"]) == (20, 40)
    assert sum(bool(row["rationale"]) for row in table) == record["rationales"] > 5
    words[words.index(str(out))] = str(tmp_path / "whole")
    subprocess.run([sys.executable, "-m", "rftkit", *words], capture_output=True, check=True)
    assert read_table(tmp_path / "whole" / "train.csv") == table, "one seed, one table"
    assert partly[:10] == table[:10]
    recipe.write_text((out / "recipe.toml").read_text("utf-8"), "utf-8")
    run = short_run("method.warmup.steps=2", "method.steps=3")
    assert [line["phase"] for line in read_lines(run.metrics)] == [
        "warmup", "warmup", "reinforcement"
    ]  # fmt: skip


STOPPED_AFTER_TWO_BATCHES = """
import sys
from rftkit import files
from rftkit.cli.main import main

append, seen = files.append_line, []

def stopping(path, record):
    append(path, record)
    seen.append(path)
    if len(seen) == 2:
        raise KeyboardInterrupt

files.append_line = stopping
main()
"""


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]
