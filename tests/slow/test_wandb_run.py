"""A run that logs to W&B, is cut off, and goes on under the same id: read from the real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import wandb_file

from rftkit.runs.checkpoints import in_order
from rftkit.runs.run import RunFolder

pytestmark = pytest.mark.slow


def test_a_run_that_is_resumed_logs_on_under_its_id(
    short_run: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = short_run("eval.limit=10", "eval.during=2", log="wandb")
    newest = in_order(run.checkpoints)[0]
    (newest / "optimizer.pt").write_bytes(b"")
    (run.adapter / "adapter_model.safetensors").unlink()
    run.set_status("stopped")
    first = short_run("eval.limit=10", "eval.during=2", log="wandb", resume=True)
    logged = wandb_file.read(first.folder)
    assert {one.id for one in logged} == {run.status()["wandb"]}
    assert [_steps(one) for one in logged] == [[1, 2, 3, 4], [3, 4]]
    begun = logged[0]
    rewards = [row["rewards/accuracy"] for row in begun.history if "loss" in row]
    assert len(rewards) == 4
    assert all(0 <= value <= 1 for value in rewards)
    assert [r["step"] for r in begun.history if "validation" in r] == [2, 4]
    assert [r["step"] for r in begun.history if "rollouts/nrows" in r] == [1, 2, 4]
    assert begun.table("rollouts")["data"][0][2]["format"] == "png"
    assert len(begun.table("held_out")["data"]) == 10
    assert 0 <= begun.summary["tuned/accuracy"] <= 1
    assert [one.exit_code for one in logged] == [0, 0]


def _steps(logged: wandb_file.Logged) -> list[int]:
    return [row["step"] for row in logged.history if "loss" in row]
