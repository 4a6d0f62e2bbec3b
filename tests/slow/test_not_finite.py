"""NaN in weights: a run ends in one line, keeps no checkpoint of it, and continues from before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rftkit.core import Example
from rftkit.data.examples import load_examples
from rftkit.errors import ModelError, TrainingError
from rftkit.models import open_for_inference
from rftkit.models.policy import Decoding, Prompt
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import load_recipe
from rftkit.runs.checkpoints import MANIFEST, WEIGHTS, in_order, settle
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task
from rftkit.training import callbacks

pytestmark = pytest.mark.slow

ShortRun = Callable[..., RunFolder]
METHODS = [(), ("method.kind=sft",), ("method.kind=exact", "style=direct")]
FEW = ("eval.limit=10",)


def spoil(path: Path, part: str, value: float = float("nan")) -> str:
    """Put a value in every number of the first tensor whose name holds `part`; its name."""
    tensors = load_file(path)
    name = next(name for name in tensors if part in name)
    tensors[name].fill_(value)
    save_file(tensors, path, {"format": "pt"})
    return name


def resettled(checkpoint: Path) -> None:
    """List the checkpoint's files anew, as if it had been written like this."""
    (checkpoint / MANIFEST).unlink()
    settle(checkpoint.rename(checkpoint.parent / "staged"), checkpoint)


def same_adapter(one: RunFolder, other: RunFolder) -> bool:
    ours, theirs = (load_file(run.adapter / WEIGHTS) for run in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def spoiling(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the optimizer's step of this number leave NaN in a weight of the adapter."""

    def on_step_end(self: Any, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if state.global_step == step:
            with torch.no_grad():
                next(p for n, p in model.named_parameters() if "v_proj.lora_B" in n).fill_(
                    float("nan")
                )

    monkeypatch.setattr(callbacks.Stopper, "on_step_end", on_step_end)


@pytest.mark.parametrize("method", METHODS)
def test_poisoned_weights_end_the_run_are_not_kept_and_it_goes_on_from_before(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: tuple[str, ...]
) -> None:
    whole = short_run(*method, *FEW, save_every=1)
    poisoned = RunFolder(tmp_path / "poisoned")
    with monkeypatch.context() as patched:
        spoiling(patched, step=3)
        with pytest.raises(TrainingError, match=r"^step 3: the adapter's weights hold NaN") as end:
            short_run(*method, *FEW, out="poisoned", save_every=1)
    assert end.value.exit_code == 3
    assert poisoned.status()["state"] == "failed"
    assert [path.name for path in in_order(poisoned.checkpoints)] == ["step-000002", "step-000001"]
    assert same_adapter(whole, short_run(*method, *FEW, out="poisoned", resume=True, save_every=1))


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_that_holds_nan_is_passed_over(
    short_run: ShortRun, method: tuple[str, ...]
) -> None:
    whole = short_run(*method, *FEW)
    poisoned = short_run(*method, *FEW, out="poisoned")
    newest = in_order(poisoned.checkpoints)[0]
    spoil(newest / WEIGHTS, "v_proj.lora_B")
    resettled(newest)
    shutil.rmtree(poisoned.adapter)
    poisoned.set_status("stopped")
    assert same_adapter(whole, short_run(*method, *FEW, out="poisoned", resume=True))


@pytest.fixture
def damaged(tiny: Path, tmp_path: Path) -> tuple[str, str]:
    """A copy of the tiny model with NaN in a matrix: its folder, and the name of the matrix."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    return str(folder), spoil(folder / "model.safetensors", "layers.0.mlp.down_proj")


@pytest.mark.parametrize("method", METHODS)
def test_a_base_model_with_nan_is_named_before_training_begins(
    short_run: ShortRun, damaged: tuple[str, str], method: tuple[str, ...], tmp_path: Path
) -> None:
    folder, name = damaged
    with pytest.raises(ModelError, match=r"^the base model: ") as caught:
        short_run(*method, f"model.name={folder}")
    assert name.removeprefix("model.").removesuffix(".weight") in str(caught.value)
    assert not (tmp_path / "run").exists()


def asked(recipe: Recipe) -> tuple[Prompt, Example]:
    """A question of the recipe's data."""
    example = load_examples(recipe, recipe.data.splits[1], limit=1).examples[0]
    return Prompt(example.image, get_task(recipe.task).prompt(example, recipe.style)), example


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_base_model_with_nan_answers_nothing(
    short_run: ShortRun, damaged: tuple[str, str], temperature: float
) -> None:
    recipe = load_recipe(short_run(*FEW, "method.steps=1").resolved)
    policy = open_for_inference(recipe.model.model_copy(update={"name": damaged[0]}))
    prompt, example = asked(recipe)
    with pytest.raises(ModelError, match=r"^the base model: .*down_proj.* holds NaN or infinity"):
        policy.generate([prompt], Decoding(4, temperature=temperature))
    with pytest.raises(ModelError, match=r"^the base model: .*down_proj.* holds NaN or infinity"):
        policy.score([prompt], [list(example.choices)])


def test_an_adapter_that_overflows_is_named_and_its_base_still_answers(
    short_run: ShortRun,
) -> None:
    run = short_run(*FEW, "method.steps=1")
    spoil(run.adapter / WEIGHTS, "v_proj.lora_B", 3e38)
    recipe = load_recipe(run.resolved)
    policy = open_for_inference(recipe.model, run.adapter)
    prompt, example = asked(recipe)
    with pytest.raises(ModelError, match=r"^the adapter: logits are NaN or infinite"):
        policy.generate([prompt], Decoding(4))
    with pytest.raises(ModelError, match=r"^the adapter: logits are NaN or infinite"):
        policy.score([prompt], [list(example.choices)])
    with policy.base():
        assert policy.generate([prompt], Decoding(4)).completions[0].tokens > 0
