"""What a trainer does with its settings after libraries had their hands on them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakes
import pytest
import torch
from rich.console import Console
from transformers.integrations import TensorBoardCallback

from rftkit.errors import ModelError
from rftkit.runs.run import RunFolder
from rftkit.training.grpo import USED_BY_THE_LOSS
from rftkit.training.trainer import (
    SessionSettings,
    TrainingJob,
    common_arguments,
    fit,
    prints_to_stderr,
    verify,
    widen,
)

WANTED = {
    "beta": 0.0, "loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.2, "temperature": 1.0,
    "mask_truncated_completions": False, "scale_rewards": "group", "max_steps": 9,
}  # fmt: skip
COPIES = {name: copy for name, copy in USED_BY_THE_LOSS.items() if name in WANTED}


def trainer(**changed: Any) -> Any:
    """A trainer whose settings a library changed, in its arguments and in its own copies."""
    has = {**WANTED, **changed}
    own = {copy: has[name] for name, copy in COPIES.items()}
    return SimpleNamespace(args=SimpleNamespace(**has), **own)


@pytest.mark.parametrize(("name", "copy", "rewritten"), [
    ("epsilon_high", "epsilon_high", 0.28),
    ("mask_truncated_completions", "mask_truncated_completions", True),
    ("scale_rewards", "scale_rewards", False),
    ("epsilon", "epsilon_low", 0.1),
])  # fmt: skip
def test_a_silent_rewrite_is_put_back(
    name: str, copy: str, rewritten: object, tmp_path: Path
) -> None:
    found = trainer(**{name: rewritten})
    verify(found, WANTED, RunFolder(tmp_path), COPIES)
    assert (getattr(found.args, name), getattr(found, copy)) == (WANTED[name], WANTED[name])
    assert json.loads(RunFolder(tmp_path).effective.read_text())[name] == str(WANTED[name])


@pytest.mark.parametrize(("name", "rewritten"), [
    ("beta", 0.001), ("loss_type", "bnpo"), ("max_steps", 100), ("temperature", 0.9),
])  # fmt: skip
def test_a_rewrite_that_cannot_be_put_back_stops_the_run(
    name: str, rewritten: object, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"{name}: the recipe asks for .* changed it to"):
        verify(trainer(**{name: rewritten}), WANTED, RunFolder(tmp_path), COPIES)


def test_nothing_is_added_to_a_trainer_that_was_not_asked_for_it(tmp_path: Path) -> None:
    found = SimpleNamespace(args=SimpleNamespace(max_steps=9))
    verify(found, {"max_steps": 9}, RunFolder(tmp_path))
    assert vars(found) == {"args": SimpleNamespace(max_steps=9)}


def test_only_what_is_trained_is_put_in_32_bit() -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2, dtype=torch.bfloat16) for _ in range(2)])
    model[0].requires_grad_(False)
    widen(model)
    assert [part.weight.dtype for part in model] == [torch.bfloat16, torch.float32]


def job_in(folder: Path, **keeping: Any) -> TrainingJob:
    """A job of the model that trains in these tests: one layer in bf16."""
    policy = fakes.FakePolicy(answer=fakes.never)
    policy.model = SimpleNamespace(num_parameters=lambda: 6)
    console = Console(file=io.StringIO())
    return TrainingJob(
        fakes.recipe(),
        policy,
        RunFolder(folder),
        console,
        session=SessionSettings(**keeping),
    )


class Layer(torch.nn.Linear):
    """As much of a model as `fit` touches."""

    def generate(self) -> None:
        """Never called."""


def fitted(job: TrainingJob) -> SimpleNamespace:
    """A trainer that `fit` has called. seen: the model's formats then; callbacks: those added."""
    model = Layer(2, 2, dtype=torch.bfloat16)  # as TRL leaves the adapter of a quantised model
    found = SimpleNamespace(model=model, seen=[], callbacks=[], remove_callback=lambda kind: None)
    found.add_callback = found.callbacks.append
    found.train = lambda **_: found.seen.extend(p.dtype for p in model.parameters())
    fit(found, job)
    return found


def test_the_adapter_is_in_32_bit_when_training_begins(tmp_path: Path) -> None:
    assert fitted(job_in(tmp_path)).seen == [torch.float32, torch.float32]


@pytest.mark.parametrize("log", ["none", "tensorboard", "trackio"])
def test_trainer_arguments_leave_the_environment_alone(
    log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    common_arguments(job_in(tmp_path, log=log), rows=8, unit=4)
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ


def test_tensorboard_writes_into_the_run_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "elsewhere"))
    job = job_in(tmp_path / "run", log="tensorboard")
    assert common_arguments(job, rows=8, unit=4)["report_to"] == []
    (callback,) = [c for c in fitted(job).callbacks if isinstance(c, TensorBoardCallback)]
    assert callback.tb_writer.log_dir == str(job.run.folder / "tensorboard")
    assert not (tmp_path / "elsewhere").exists()
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "elsewhere")


def test_without_tensorboard_nothing_is_written_for_it(tmp_path: Path) -> None:
    callbacks = fitted(job_in(tmp_path)).callbacks
    assert not [c for c in callbacks if isinstance(c, TensorBoardCallback)]
    assert not (tmp_path / "tensorboard").exists()


def test_what_a_library_prints_while_it_trains_is_no_result(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @prints_to_stderr()
    def trained() -> str:
        print("mixed precision is off")
        return "done"

    assert trained() == "done"
    assert capsys.readouterr() == ("", "mixed precision is off\n")
