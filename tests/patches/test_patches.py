"""Patches of libraries: put back as they were, in any order of use, and only onto what is known."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import transformers
from trl.trainer import grpo_trainer
from vlm_batches import KINDS, tiny_model

from rftkit.errors import ModelError
from rftkit.patches import reads_global, replaced, trl
from rftkit.patches.gradio import serving_with
from rftkit.patches.transformers import GENERATE_ENCODES_IMAGES, changed
from rftkit.patches.unsloth import engine_with


class Owner:
    def name(self) -> str:
        return "the class's"


def test_what_was_replaced_comes_back_in_nested_use() -> None:
    owner = Owner()
    with replaced(owner, "name", lambda: "outer"):
        with replaced(owner, "name", lambda: "inner"):
            assert owner.name() == "inner"
        assert owner.name() == "outer"
    assert owner.name() == "the class's"
    assert vars(owner) == {}


def test_what_was_replaced_comes_back_after_an_error() -> None:
    owner = SimpleNamespace(name="own")
    with pytest.raises(KeyError), replaced(owner, "name", "other"):
        raise KeyError
    assert owner.name == "own"


def test_nothing_in_trl_has_changed() -> None:
    assert trl.changed() is None


def test_a_method_of_trl_with_other_parameters_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo_trainer.GRPOTrainer, "_tokenize_prompts", lambda self, rows: None)
    assert trl.changed() == "GRPOTrainer._tokenize_prompts"


def test_a_method_of_trl_that_shuffles_in_another_way_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        grpo_trainer.GRPOTrainer, "_prepare_inputs", lambda self, generation_batch: None
    )
    assert trl.changed() == "GRPOTrainer._prepare_inputs"


def test_trls_shuffle_is_followed_by_ours_and_put_back() -> None:
    shuffle = grpo_trainer.shuffle_sequence_dict

    def sorted_rows(rows: dict[str, Any]) -> dict[str, Any]:
        return {name: sorted(values) for name, values in rows.items()}

    def backwards(rows: dict[str, Any]) -> dict[str, Any]:
        return {name: values[::-1] for name, values in rows.items()}

    batch = {"number": list(range(50))}
    with trl.reordered_after_shuffle(sorted_rows):
        assert grpo_trainer.shuffle_sequence_dict(batch) == batch
        with trl.reordered_after_shuffle(backwards):
            assert grpo_trainer.shuffle_sequence_dict(batch)["number"] == [*range(49, -1, -1)]
        assert grpo_trainer.shuffle_sequence_dict(batch) == batch
    assert grpo_trainer.shuffle_sequence_dict is shuffle


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_transformers_has_changed(kind: str) -> None:
    assert changed(tiny_model(kind)) is None


def test_a_method_of_transformers_with_other_parameters_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model("qwen2_vl")
    monkeypatch.setattr(type(model.model), "get_image_features", lambda self, images: None)
    assert changed(model) == "get_image_features"
    monkeypatch.setattr(type(model), "_prefill", lambda self, inputs: None)
    assert changed(model) == "generate's _prefill"


def test_the_version_that_encodes_images_in_generate_is_compared() -> None:
    major, minor = map(int, transformers.__version__.split(".")[:2])
    assert ((major, minor) >= (5, 19)) == GENERATE_ENCODES_IMAGES


def test_a_global_is_seen_through_decorators() -> None:
    assert reads_global(grpo_trainer.GRPOTrainer._prepare_inputs, "split_tensor_dict")
    assert not reads_global(grpo_trainer.GRPOTrainer._prepare_inputs, "no_such_function")


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As much of unsloth_zoo as is patched."""
    package, utils = ModuleType("unsloth_zoo"), ModuleType("unsloth_zoo.vllm_utils")
    utils.__dict__["_get_multimodal_engine_args"] = lambda config, **_: {"config": config, "max": 9}
    utils.__dict__["BitsAndBytesConfig"] = type("BitsAndBytesConfig", (dict,), {})
    package.__dict__["vllm_utils"] = utils
    monkeypatch.setitem(sys.modules, "unsloth_zoo", package)
    monkeypatch.setitem(sys.modules, "unsloth_zoo.vllm_utils", utils)
    return utils


def test_unsloths_engine_is_told_our_limits(zoo: Any) -> None:
    own = zoo._get_multimodal_engine_args
    with engine_with({"max": 2}, ("visual",)):
        found = zoo._get_multimodal_engine_args("here", is_vision_model=True)
        quantised = zoo.BitsAndBytesConfig(load_in_4bit=True)
    assert found == {"config": "here", "max": 2}
    assert quantised == {"load_in_4bit": True, "llm_int8_skip_modules": ["visual"]}
    assert zoo._get_multimodal_engine_args is own
    assert zoo.BitsAndBytesConfig() == {}, "put back"


@pytest.mark.parametrize("name", ["_get_multimodal_engine_args", "BitsAndBytesConfig"])
def test_an_unsloth_without_what_is_replaced_is_refused(zoo: Any, name: str) -> None:
    delattr(zoo, name)
    with (
        pytest.raises(ModelError, match=f"unsloth_zoo has no {name}"),
        engine_with({}, ()),
    ):
        pass


def test_gradio_s_server_gets_settings_only_while_it_is_launched() -> None:
    import uvicorn
    from gradio import http_server

    with serving_with(backlog=7):
        assert http_server.uvicorn.Config(app=None).backlog == 7
    assert http_server.uvicorn is uvicorn
