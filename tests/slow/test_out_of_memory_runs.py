"""A run whose GPU fails, or whose memory ends, is kept and goes on, whatever trains it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trl

from rftkit.errors import TrainingError
from rftkit.files import read_lines
from rftkit.models.transformers import TransformersPolicy
from rftkit.runs.run import RunFolder
from rftkit.training.exact.trainer import ExactTrainer

pytestmark = pytest.mark.slow

ShortRun = Callable[..., RunFolder]
SFT = ("method.kind=sft",)
EXACT = ("style=direct", "method.kind=exact", "method.kl=0")
FAILS = [
    (trl.GRPOTrainer, "compute_loss", (), RuntimeError("CUDA error: an illegal memory access")),
    (trl.GRPOTrainer, "_generate_single_turn", (), MemoryError("Unable to allocate 9 GiB")),
    (
        trl.SFTTrainer,
        "compute_loss",
        ("method.kind=sft",),
        RuntimeError("CUDA error: out of memory"),
    ),
    (ExactTrainer, "_step", EXACT, RuntimeError("CUDA error: device-side assert triggered")),
]


@pytest.mark.parametrize(("trainer", "place", "method", "error"), FAILS)
def test_the_step_before_is_kept_and_the_run_goes_on(
    short_run: ShortRun,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    trainer: Any,
    place: str,
    method: tuple[str, ...],
    error: Exception,
) -> None:
    whole = getattr(trainer, place)

    def fails(self: Any, *given: Any, **more: Any) -> Any:
        if self.state.global_step == 1:
            raise error
        return whole(self, *given, **more)

    asked = (*method, "method.steps=2", "eval.limit=4")
    with monkeypatch.context() as patched:
        patched.setattr(trainer, place, fails)
        with pytest.raises(TrainingError, match=r"(ran out of memory|GPU failed) while training"):
            short_run(*asked, save_every=1)
    run = RunFolder(tmp_path / "run")
    assert run.status()["state"] == "failed"
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-000001"]
    short_run(*asked, save_every=1, resume=True)
    assert run.status()["state"] == "finished"
    assert [line["step"] for line in read_lines(run.metrics)] == [1, 2]


@pytest.mark.parametrize("error", [
    RuntimeError("CUDA error: an illegal memory access"), MemoryError(),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
])  # fmt: skip
def test_an_evaluation_that_fails_keeps_what_was_trained(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    asked = ("method.steps=1", "eval.limit=4")
    with monkeypatch.context() as patched:
        patched.setattr(TransformersPolicy, "generate", fails)
        with pytest.raises(TrainingError, match=r" while evaluating \("):
            short_run(*asked)
    run = RunFolder(tmp_path / "run")
    assert run.status()["state"] == "trained"
    short_run(*asked, resume=True)
    assert run.status()["state"] == "finished"
