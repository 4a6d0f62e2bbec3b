"""A base model whose weights are damaged, pickled or not all there is refused in one line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import fakes
import pytest
import torch
from safetensors.torch import load_file, save_file

from rftkit.errors import ModelError
from rftkit.models import base_note
from rftkit.models.loading import fingerprint, load_model, resolve
from rftkit.models.tiny.cache import ensure_tiny
from rftkit.recipe.sections import Model
from rftkit.runs.adapter import find, write_card

WEIGHTS = "model.safetensors"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ensure_tiny("tiny"), tmp_path / "base"))


def refusal(base: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(resolve(str(base)), Model(name=str(base), load_in_4bit=False))
    line = str(caught.value)
    assert line.startswith(f"model.name: {base}: ")
    assert "\n" not in line
    return line


def change(base: Path, changed: Callable[[Tensors], object]) -> None:
    tensors = load_file(base / WEIGHTS)
    changed(tensors)
    save_file(tensors, base / WEIGHTS, metadata={"format": "pt"})


def test_a_tensor_that_is_missing_is_named(base: Path) -> None:
    change(base, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    assert refusal(base).endswith(
        ": no weights for model.language_model.layers.1.mlp.up_proj.weight; download it again"
    )
    change(base, lambda tensors: [tensors.pop(n) for n in [*tensors] if ".layers.0." in n])
    assert " and " in refusal(base)


def test_a_tensor_of_another_shape_is_refused(base: Path) -> None:
    change(base, lambda t: t.update({"model.norm.weight": torch.ones(3)}))
    assert "cannot be loaded (" in refusal(base)


@pytest.mark.parametrize("kept", [0, 7, 5000, -4])
def test_weights_that_are_cut_off_are_refused(base: Path, kept: int) -> None:
    (base / WEIGHTS).write_bytes((base / WEIGHTS).read_bytes()[:kept])
    assert re.search(r"cannot be loaded \(|its weights have", refusal(base))


def test_pickled_weights_are_not_read(base: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return print, ("ran",)

    torch.save({"weight": Evil()}, base / "pytorch_model.bin")
    (base / WEIGHTS).unlink()
    assert "no file named model.safetensors" in refusal(base)


@pytest.mark.parametrize(("key", "value", "said"), [
    ("hidden_size", 65_536, "is of 38,957,604,736 parameters, its weights have 3,431,864 bytes"),
    ("num_hidden_layers", 10**9, "its config.json asks for 1,000,000,000 num_hidden_layers"),
    ("num_hidden_layers", 9000, "its config.json is of too many parameters to count"),
])  # fmt: skip
def test_a_configuration_of_another_size_costs_no_time_and_no_memory(
    base: Path, key: str, value: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers would draw what the weights lack at random, whatever that takes."""
    monkeypatch.setattr("rftkit.model_info.demands.COUNTED_WITHIN", 0.5)
    config = json.loads((base / "config.json").read_text("utf-8"))
    config["text_config"] |= {key: value, "layer_types": ["full_attention"] * 9000}
    if key == "hidden_size":
        del config["text_config"]["layer_types"]
    (base / "config.json").write_text(json.dumps(config), "utf-8")
    assert said in refusal(base)


def test_a_shard_that_is_missing_is_refused(base: Path) -> None:
    (base / WEIGHTS).rename(base / "model-00001-of-00002.safetensors")
    names = load_file(base / "model-00001-of-00002.safetensors")
    shards = [f'"{n}": "model-0000{1 + k % 2}-of-00002.safetensors"' for k, n in enumerate(names)]
    text = '{"metadata": {}, "weight_map": {' + ", ".join(shards) + "}}"
    (base / f"{WEIGHTS}.index.json").write_text(text)
    assert "cannot be loaded (" in refusal(base)


def test_an_adapter_on_other_weights_than_it_was_trained_on_is_noted(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"weights")
    recipe = fakes.recipe(model={"name": str(base)})
    fakes.FakePolicy(fakes.never).save(folder)
    write_card(folder, recipe, ["cat", "dog"], {}, fingerprint(resolve(str(base))))
    assert base_note(find(folder)) == ""
    (base / "model.safetensors").write_bytes(b"WEIGHTS")
    assert base_note(find(folder)) == (
        f"note: the weights of {base} are others than those that {folder} was trained on, so its "
        "answers are others too"
    )
    write_card(folder, recipe, ["cat", "dog"])  # as older versions did
    assert base_note(find(folder)) == ""
    write_card(folder, fakes.recipe(model={"name": "a/b"}), ["cat", "dog"], {}, "of another name")
    assert base_note(find(folder)) == ""
