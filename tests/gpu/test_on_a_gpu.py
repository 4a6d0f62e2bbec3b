"""The fast paths on real CUDA: `make test-gpu`. Skipped where there is no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from rftkit.files import read_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: make test-gpu"),
]
BACKENDS = ["transformers", *(["unsloth"] if find_spec("unsloth") else [])]
FEW = ("method.steps=3", "method.kl=0.04", "eval.limit=20")


def rftkit(folder: Path, *words: str) -> str:
    """Standard output of a command that ends well."""
    done = subprocess.run(
        [sys.executable, "-m", "rftkit", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def trained(folder: Path, name: str, *changes: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The quickstart on a 4-bit base: its settings in force, and its steps."""
    changes = ("model.load_in_4bit=true", *changes)
    rftkit(folder, "train", "quickstart", "--out", name, *sets(*changes))
    settings = json.loads((folder / name / "effective.json").read_text("utf-8"))
    return settings, read_lines(folder / name / "metrics.jsonl")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_step_proves_every_path(backend: str, tmp_path: Path) -> None:
    settings, _ = trained(tmp_path, "run", f"model.backend={backend}", *FEW)
    assert settings["trainer"] == "SharedPrefixTrainer"
    assert settings["generation"] == "merged"
    checked = {name: words for name, words in settings.items() if name.startswith("checked ")}
    assert {*checked} == {"checked shared prefixes", "checked merged copy", "checked adapter off"}
    assert not [words for words in checked.values() if words.startswith("left:")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_first_step_is_that_of_trls_own_trainer(backend: str, tmp_path: Path) -> None:
    loaded = (f"model.backend={backend}", "model.generation=transformers", *FEW)
    _, shared = trained(tmp_path, "shared", *loaded)
    _, stock = trained(tmp_path, "stock", *loaded, "method.trainer=trl")
    assert shared[0]["grad_norm"] == pytest.approx(stock[0]["grad_norm"], rel=0.05)
    assert shared[0]["reward"] == pytest.approx(stock[0]["reward"], abs=0.1)


@pytest.mark.parametrize("style", ["direct", "think"])
def test_the_peak_is_within_15_per_cent_of_the_plan(style: str, tmp_path: Path) -> None:
    only = ("--random-weights", "--json", "--only", "shared", "--seconds", "240")
    found = json.loads(rftkit(tmp_path, "bench", "aircraft_4shot", *only, *sets(f"style={style}")))
    measured = [one for one in found if one["step"]]
    assert measured
    for one in measured:
        assert one["peak"] == pytest.approx(one["planned"], rel=0.15), one["setup"]


def test_the_quickstart_learns_as_it_does_on_a_cpu(tmp_path: Path) -> None:
    trained(tmp_path, "run")
    summary = json.loads((tmp_path / "run" / "eval" / "test" / "summary.json").read_text("utf-8"))
    base, tuned = (summary[side]["accuracy"]["value"] for side in ("base", "tuned"))
    assert tuned - base > 0.12, "from 57 to 81 % on a CPU"


def test_as_many_rows_as_fit_are_taken_where_memory_runs_out(tmp_path: Path) -> None:
    """A card too small for the step: it halves, or says what to change; it never just crashes."""
    command = ["bench", "aircraft_4shot", "--random-weights", "--json", "--only", "shared", "--cap"]
    done = subprocess.run(
        [sys.executable, "-m", "rftkit", *command, "5", "--steps", "1", "--seconds", "120"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for one in json.loads(done.stdout):
        assert one["step"] or "change in this order" in one["error"], one
