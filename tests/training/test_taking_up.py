"""A checkpoint whose manifest is right and whose files are not a trainer's is one line."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch

from rftkit.errors import ModelError, UserError
from rftkit.training.taking_up import CheckpointError, taking_up

STEP = Path("out/pets/checkpoints/step-000002")


class FakeTrainer:
    """Fails as it is told to, before its first step or in it."""

    def add_callback(self, callback: Any) -> None:
        self.callback = callback

    def train(self, begins: bool, error: BaseException) -> None:
        if begins:
            self.callback.on_step_begin(None, None, None)
        raise error


@pytest.mark.parametrize(
    "error",
    [
        UnpicklingError("Weights only load failed"),
        EOFError(),
        KeyError("lr_lambdas"),
        RuntimeError("PytorchStreamReader failed"),
        TypeError("list indices"),
        OSError(22, "Invalid"),
    ],
)
def test_what_a_library_makes_of_the_files_is_one_line(error: Exception) -> None:
    trainer = FakeTrainer()
    with pytest.raises(CheckpointError) as caught, taking_up(STEP, trainer):
        trainer.train(False, error)
    line = str(caught.value)
    assert line.startswith(f"{STEP}: cannot be continued from ({type(error).__name__}")
    assert line.endswith("); delete it, and --resume takes an earlier one")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("begins", "checkpoint", "error"),
    [
        (True, STEP, KeyError("a bug of ours")),
        (False, None, KeyError("a new run")),
        (False, STEP, torch.OutOfMemoryError("CUDA out of memory")),
        (False, STEP, ModelError("a line of its own")),
        (False, STEP, UserError("a full disk")),
        (False, STEP, KeyboardInterrupt()),
    ],
)
def test_what_is_not_the_checkpoints_doing_passes(
    begins: bool, checkpoint: Path | None, error: BaseException
) -> None:
    trainer = FakeTrainer()
    with pytest.raises(type(error)) as caught, taking_up(checkpoint, trainer):
        trainer.train(begins, error)
    assert caught.value is error
