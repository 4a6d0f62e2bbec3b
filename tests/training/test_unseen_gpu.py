"""A GPU that torch does not reach is said, and a large model is not trained beside it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from rftkit.errors import ModelError, UserError
from rftkit.hardware import probe
from rftkit.hardware.probe import Gpu
from rftkit.models import open_for_training
from rftkit.recipe.toml import parse_recipe
from rftkit.training.request import TrainRequest
from rftkit.training.run import _check_gpu, train

CARD = Gpu("NVIDIA GeForce RTX 4070", "550.54", 12_282, 11_000, 8.9)


def checked(name: str) -> str:
    console = Console(file=io.StringIO(), width=300)
    recipe = parse_recipe('[data]\nsource = "digits"\n', "test", [f"model.name={name}"])
    _check_gpu(recipe, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_large_model_is_not_trained_on_the_cpu_beside_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(probe, "gpus", lambda: [CARD])
    with pytest.raises(ModelError) as caught:
        checked("Qwen/Qwen2.5-VL-3B-Instruct")
    assert str(caught.value) == (
        "torch does not reach the GPU (NVIDIA GeForce RTX 4070): see `rftkit doctor`, or set "
        "CUDA_VISIBLE_DEVICES=-1 to train on the CPU, for hours"
    )
    said = "note: torch does not reach the GPU (NVIDIA GeForce RTX 4070): see `rftkit doctor`\n"
    assert checked("tiny") == said


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden_on_purpose_is_not_missed(
    hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(probe, "gpus", lambda: [CARD])
    assert checked("Qwen/Qwen2.5-VL-3B-Instruct") == ""


def test_a_machine_without_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(probe, "gpus", list)
    assert checked("Qwen/Qwen2.5-VL-3B-Instruct") == ""


def test_what_cannot_run_here_leaves_no_run_behind(tmp_path: Path) -> None:
    path, out = tmp_path / "recipe.toml", tmp_path / "out"
    path.write_text('[data]\nsource = "digits"\nshots = 1\n[model]\nname = "tiny"\n', "utf-8")
    for overrides, said in (
        (("method.trainer=unsloth",), "method.trainer: 'unsloth', but transformers loads the"),
        (("model.generation=vllm",), "model.generation: 'vllm' needs vllm, and there is no GPU"),
        (("model.backend=unsloth",), "model.backend: 'unsloth' needs "),
    ):
        with pytest.raises(UserError, match=said):
            train(TrainRequest(recipe=path, out=out, overrides=overrides), Console(quiet=True))
        assert not out.exists()


def test_a_model_is_not_loaded_for_what_cannot_run_here() -> None:
    """A resumed run comes here without the check that a new one begins with."""
    recipe = parse_recipe('[data]\nsource = "digits"\n', "test", ["method.trainer=unsloth"])
    with pytest.raises(UserError, match=r"method.trainer: 'unsloth', but transformers loads"):
        open_for_training(recipe)
