"""What a run's callbacks keep, and what they refuse to keep."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from rftkit import files
from rftkit.errors import Interrupted, TrainingError
from rftkit.files import read_lines
from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder
from rftkit.training.callbacks import Keeper, Metrics, Stopper

NAN, INFINITE = float("nan"), float("inf")


def model(frozen: float = 1.0, trained: float = 1.0) -> torch.nn.Module:
    """Two weights, named as PEFT names those of the base model and of the adapter."""
    layer = torch.nn.ParameterDict({"weight": torch.tensor([frozen])}).requires_grad_(False)
    layer["lora_A"] = torch.nn.Parameter(torch.tensor([trained]))
    return torch.nn.ModuleDict({"layer": layer})


def logged(
    folder: Path, trains: torch.nn.Module, fp16: bool = False, **logs: float
) -> list[dict[str, Any]]:
    """The metrics of a run that has logged its seventh step."""
    run, state = RunFolder(folder), SimpleNamespace(global_step=7, max_steps=9)
    metrics, args = Metrics(run, Console(file=io.StringIO()), every=1), SimpleNamespace(fp16=fp16)
    metrics.on_log(args, state, None, model=trains, logs={"loss": 0.5, "grad_norm": 1.0, **logs})
    return read_lines(run.metrics)


def test_a_step_of_finite_numbers_is_kept(tmp_path: Path) -> None:
    (line,) = logged(tmp_path, model())
    assert (line["step"], line["loss"], line["grad_norm"]) == (7, 0.5, 1.0)


@pytest.mark.parametrize(
    ("trains", "logs", "said"),
    [
        (model(), {"loss": NAN}, "step 7: loss is nan; lower method.learning_rate, then start"),
        (model(), {"grad_norm": INFINITE}, "step 7: grad_norm is inf; lower method.learning_rate"),
        (model(trained=NAN), {"loss": NAN}, "step 7: loss is nan; lower method.learning_rate"),
        (
            model(trained=NAN),
            {},
            "step 7: the adapter's weights hold NaN or infinity; lower method.learning_rate, then",
        ),
        (model(trained=INFINITE), {}, "step 7: the adapter's weights hold NaN or infinity; lower"),
        (
            model(frozen=NAN),
            {"loss": NAN},
            "step 7: loss is nan; the base model: layer.weight holds NaN or infinity; download",
        ),
    ],
)
def test_what_is_not_finite_ends_the_run_and_is_named(
    trains: torch.nn.Module, logs: dict[str, float], said: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as caught:
        logged(tmp_path, trains, **logs)
    assert str(caught.value).startswith(said)
    assert caught.value.exit_code == 3
    assert not RunFolder(tmp_path).metrics.exists()


def checkpoint(folder: Path, step: int) -> Path:
    """A whole checkpoint of a file that says its step."""
    staged = folder / "staged"
    staged.mkdir(parents=True)
    (staged / "step").write_text(str(step))
    save_file({"weight": torch.ones(2)}, staged / checkpoints.WEIGHTS)
    return checkpoints.settle(staged, folder / f"step-{step:06d}")


def kept(run: RunFolder, resumed: Path | None, steps: list[int]) -> list[int]:
    """The checkpoints that are there after the trainer has saved these steps."""
    keeper, staging = Keeper(run, resumed), run.checkpoints / ".staging"
    for step in steps:
        (staging / f"checkpoint-{step}").mkdir(parents=True)
        args, state = SimpleNamespace(output_dir=str(staging)), SimpleNamespace(global_step=step)
        keeper.on_save(args, state, None)
    return [checkpoints.step_of(path) for path in checkpoints.in_order(run.checkpoints)]


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    assert kept(RunFolder(tmp_path), None, [5, 10, 15]) == [15, 10]


def test_the_one_that_was_resumed_from_counts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    _, resumed = (checkpoint(run.checkpoints, step) for step in (10, 20))
    assert kept(run, resumed, [30]) == [30, 20]
    assert kept(run, resumed, [20]) == [20], "a step that is saved again is one checkpoint"


def test_a_checkpoint_whose_deletion_was_cut_off_is_deleted(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    cut_off, whole, resumed = (checkpoint(run.checkpoints, step) for step in (10, 20, 30))
    (cut_off / checkpoints.WEIGHTS).unlink()
    keeper = Keeper(run, resumed)
    keeper.on_train_begin(None, None, None)
    assert keeper.whole == checkpoints.in_order(run.checkpoints) == [resumed, whole]
    checkpoint(run.checkpoints, 10)  # whole, and the third: killed before it was to go
    keeper = Keeper(run, resumed)
    keeper.on_train_begin(None, None, None)
    assert keeper.whole == checkpoints.in_order(run.checkpoints) == [resumed, whole]


def test_the_lines_of_its_steps_are_on_the_disk_before_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, order = RunFolder(tmp_path), list[Path]()
    run.metrics.touch()
    run.rollouts.touch()
    monkeypatch.setattr(files, "sync", order.append)
    monkeypatch.setattr(checkpoints, "sync", order.append)
    assert kept(run, None, [1]) == [1]
    assert order[:3] == [run.metrics, run.rollouts, run.folder]
    assert order[-2:] == [run.checkpoints, run.folder]


def test_damaged_checkpoints_take_no_place_of_new_ones(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (10, 20):
        (checkpoint(run.checkpoints, step) / "step").unlink()
    assert kept(run, None, [1]) == [1]
    assert kept(run, run.checkpoints / "step-000001", [2, 3]) == [3, 2]


@pytest.mark.skipif(not Path("/proc/self/syscall").is_file(), reason="Linux says who waits")
def test_a_call_of_a_library_goes_on_where_a_stop_is_asked_for() -> None:
    """As that which opens a file: torch does not ask again where it was interrupted."""
    libc, main = ctypes.CDLL(None), threading.main_thread()
    waits_for = Path(f"/proc/self/task/{main.native_id}/syscall")
    reader, writer = os.pipe()
    handled, handling = socket.socketpair()
    handling.setblocking(False)
    stopper, counts = Stopper(), list[int]()

    def stop_it() -> None:
        while waits_for.read_text().split()[1:2] != [hex(reader)]:
            pass  # until it waits for the pipe
        signal.pthread_kill(main.ident or 0, signal.SIGTERM)
        handled.recv(1)
        os.write(writer, b"x")

    def run() -> None:
        helper = threading.Thread(target=stop_it)
        with stopper.listening(Console(file=io.StringIO())):
            helper.start()
            counts.append(libc.read(reader, ctypes.create_string_buffer(1), 1))
            helper.join()

    before = signal.set_wakeup_fd(handling.fileno())
    try:
        with pytest.raises(Interrupted):
            run()
    finally:
        signal.set_wakeup_fd(before)
    assert (counts, stopper.received) == ([1], signal.SIGTERM)


def test_a_terminal_that_closes_stops_a_run_as_ctrl_c_does() -> None:
    stopper, control = Stopper(), SimpleNamespace()

    def run() -> None:
        with stopper.listening(Console(file=io.StringIO())):
            os.kill(os.getpid(), signal.SIGHUP)
            stopper.on_step_end(None, None, control)

    with pytest.raises(Interrupted) as stop:
        run()
    assert stop.value.number == signal.SIGHUP
    assert (control.should_save, control.should_training_stop) == (True, True)


def test_under_nohup_a_run_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with (stopper := Stopper()).listening(Console(file=io.StringIO())):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stopper.received is None
    finally:
        signal.signal(signal.SIGHUP, before)
