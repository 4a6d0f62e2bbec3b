"""Runs that are measured while they train: the best step is kept, training draws the same."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from waiting import wait_until

from rftkit.cli.main import main
from rftkit.data.synthetic.digits import draw_digit
from rftkit.errors import Interrupted
from rftkit.files import read_lines
from rftkit.metrics.samples import read_samples
from rftkit.runs.calibration import read_calibration
from rftkit.runs.checkpoints import WEIGHTS
from rftkit.runs.run import RunFolder
from rftkit.training import run as training_run
from rftkit.training.held_out import validation

pytestmark = pytest.mark.slow

RECIPE = """
seed = 3
style = "direct"
[model]
name = "tiny"
[data]
source = "csv"
path = "{folder}/digits"
[method]
kind = "exact"
steps = 6
learning_rate = 1e-3
batch_size = 4
kl = 0.0
[eval]
limit = 6
"""
Run = Callable[..., tuple[RunFolder, str]]


@pytest.fixture
def recipe(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose data has a split for training, validation and test."""
    monkeypatch.chdir(tmp_path)
    for seed, split in enumerate(("train", "val", "test")):
        (tmp_path / "digits" / split).mkdir(parents=True)
        with (tmp_path / "digits" / f"{split}.csv").open("w", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "label"])
            for number in range(40):
                name = f"{split}/{number}.png"
                image = draw_digit(str(number % 10), np.random.default_rng([seed, number]))
                image.save(tmp_path / "digits" / name)
                writer.writerow([name, number % 10])
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace("{folder}", str(tmp_path)), "utf-8")
    return path


@pytest.fixture
def run(recipe: Path, training_of: Callable[[str], Run]) -> Run:
    """Trains, and returns the run and what was printed."""
    return training_of(recipe.read_text("utf-8"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / WEIGHTS)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def scripted(values: Sequence[float], seen: list[Any]) -> Any:
    """In place of the measurement: these values, one after another."""
    left = iter(values)

    def measure(policy: Any, recipe: Any, examples: Any) -> float:
        state = {n: w.clone() for n, w in policy.model.named_parameters() if ".lora_" in n}
        seen.append((state, [example.id for example in examples]))
        return next(left)

    return measure


VAL = ("eval.during=2", "eval.validation=val")


def test_the_best_step_is_kept_and_it_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(validation, "measure", scripted([0.2, 0.5, 0.9, 0.9], seen))
    folder, printed = run(*VAL)
    assert [line["validation"] for line in read_lines(folder.metrics) if "validation" in line] == [
        0.5, 0.9, 0.9
    ]  # fmt: skip
    record = folder.status()["validation"]
    assert (record["base"], record["step"], record["value"]) == (0.2, 4, 0.9)
    assert "validation: 20.0% of 40 held-out examples before training" in printed
    assert "validation: step 4 is kept, with 90.0%" in printed
    kept = weights(folder.adapter)
    at_4 = {name.replace(".default", ""): weight for name, weight in seen[2][0].items()}
    assert all(torch.equal(kept[name], at_4[name]) for name in kept)
    assert all(name.startswith("val/") for name in seen[0][1]), "never the test split"


def test_a_run_without_progress_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "measure", scripted([0.2, 0.5, 0.4, 0.3, 0.2], []))
    folder, printed = run(*VAL, "eval.patience=2", "method.steps=20")
    assert [line["step"] for line in read_lines(folder.metrics)] == [*range(1, 7)]
    assert "step 6: no better for 2 checks, so it ends here" in printed
    assert folder.status()["validation"]["step"] == 2
    assert folder.status()["state"] == "finished"


@pytest.mark.parametrize("kind", ["exact", "grpo", "sft"])
def test_measuring_changes_nothing_about_training(run: Run, kind: str) -> None:
    method = (f"method.kind={kind}", "method.steps=4", "method.max_new_tokens=4")
    plain, _ = run(*method)
    measured, _ = run(*method, *VAL, out="measured")
    names = ("loss", "grad_norm", "reward")
    one, other = (
        [[line.get(name) for name in names] for line in read_lines(folder.metrics)]
        for folder in (plain, measured)
    )
    assert one == other
    assert 0 <= measured.status()["validation"]["value"] <= 1


def test_a_killed_run_chooses_the_same_step(run: Run, recipe: Path, tmp_path: Path) -> None:
    whole, _ = run("eval.during=2", "method.steps=8")
    victim = RunFolder(tmp_path / "victim")
    command = [sys.executable, "-m", "rftkit", "train", str(recipe), "--out", str(victim.folder)]
    command += ["--set", "eval.during=2", "--set", "method.steps=8", "--save-every", "2", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: victim.metrics.exists() and len(read_lines(victim.metrics)) >= 5, process)
    process.kill()
    process.wait()
    resumed, _ = run("eval.during=2", "method.steps=8", out="victim", resume=True)
    assert same(weights(whole.adapter), weights(resumed.adapter))
    keys = ("base", "step", "value")
    one, other = (folder.status()["validation"] for folder in (whole, resumed))
    assert [one[key] for key in keys] == [other[key] for key in keys]


def test_what_has_no_list_is_measured_by_greedy_replies(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A style that reasons has more to write than an answer, and so has a task of boxes."""
    asked: list[int] = []
    real = validation._by_reply

    def counting(policy: Any, recipe: Any, batch: Any) -> Any:
        asked.append(len(batch))
        return real(policy, recipe, batch)

    monkeypatch.setattr(validation, "_by_reply", counting)
    folder, _ = run("method.kind=sft", "style=think", "method.steps=2", "method.max_new_tokens=8",
                    *VAL)  # fmt: skip
    assert sum(asked) == 2 * 40
    assert "value" in folder.status()["validation"]


def test_what_was_held_out_calibrates_and_lets_predict_abstain(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, printed = run("eval.during=20", "method.steps=40")
    found = read_calibration(folder.adapter)
    assert found is not None
    assert (found.origin, len(found.answers)) == ("fold", 10)
    assert (
        f"calibrated on 10 held-out images: temperature {found.temperatures.tuned:.2f}" in printed
    )
    header = read_samples(folder.evaluations / "test" / "samples.jsonl").header
    assert header.temperatures == found.temperatures._asdict()

    def predicted(*options: str) -> list[dict[str, Any]]:
        images = [str(tmp_path / "digits" / "test" / f"{number}.png") for number in range(5)]
        words = ["rftkit", "predict", *images, "--ckpt", str(folder.folder), "--json", *options]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code in (0, None), err
        noted.append(err)
        return [json.loads(line) for line in out.splitlines()]

    noted: list[str] = []
    for record in predicted():
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert record["confidence"] == max(record["probabilities"].values())
        assert record["probabilities"][record["answer"]] == record["confidence"]
        assert (record["calibrated"], record["abstained"]) == (True, False)
    kept = found.kept_at_error(0.3)
    for record in predicted("--abstain-at-error", "0.3"):
        low = kept.threshold is None or record["confidence"] < kept.threshold
        assert record["abstained"] == low
        assert (record["answer"] is None) == low
    assert "held-out images" in noted[-1]


def test_a_split_alone_calibrates_what_is_trained_on_everything(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between training and the temperature, the run has it after --resume."""
    real, stops = training_run.calibrated, [True]

    def stopped(*args: Any) -> Any:
        if stops.pop():
            raise Interrupted(15)
        return real(*args)

    monkeypatch.setattr(training_run, "calibrated", stopped)
    with pytest.raises(Interrupted):
        run("eval.validation=val", "method.steps=2")
    stops.append(False)
    folder, printed = run("eval.validation=val", "method.steps=2", resume=True)
    found = read_calibration(folder.adapter)
    assert found is not None
    assert (found.origin, len(found.answers)) == ("split", 40)
    assert "validation:" not in printed
    assert [line["step"] for line in read_lines(folder.metrics)] == [1, 2]
    assert not any("validation" in line for line in read_lines(folder.metrics))
    assert folder.status()["state"] == "finished"
    plain, _ = run("method.steps=2", out="plain")
    assert read_calibration(plain.adapter) is None
    assert same(weights(plain.adapter), weights(folder.adapter))
