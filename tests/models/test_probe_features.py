"""Features of prompts: each prompt's own, whatever stands beside it in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from vlm_batches import KINDS, Ask, batch_of, tiny_model

from rftkit.models import probe_features as module
from rftkit.models.policy import ProbeFeatures, Prompt
from rftkit.models.probe_features import probe_features

ASKS = (Ask(2, 3, (4, 4), [0]), Ask(5, 1, (4, 2), [0]), Ask(1, 1, (2, 4), [0]))


def features(kind: str, model: Any, chosen: Sequence[int], cut: int = 0) -> ProbeFeatures:
    """Features of some of the asks; a "prompt" here is the number of one."""

    def inputs_of(numbers: Sequence[Any]) -> dict[str, Any]:
        batches = batch_of(kind, ASKS, [*numbers])
        width = int(batches.mask.sum(1).max())
        inputs = {name: value for name, value in batches.inputs.items() if name != "num_images"}
        if "mm_token_type_ids" in inputs:
            inputs["mm_token_type_ids"] = inputs["mm_token_type_ids"][:, -width:]
        return {
            "input_ids": batches.ids[:, -width:],
            "attention_mask": batches.mask[:, -width:],
            **inputs,
        }

    prompts: Any = chosen
    with torch.inference_mode():
        return probe_features(model, prompts, inputs_of)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_has_its_own_features_in_any_batch(kind: str) -> None:
    model = tiny_model(kind)
    together = features(kind, model, [2, 0, 1])
    assert not isinstance(together.vision, str)
    assert not isinstance(together.hidden, str)
    assert together.vision.shape == together.hidden.shape == (3, 32)
    for place, number in enumerate((2, 0, 1)):
        alone = features(kind, model, [number])
        np.testing.assert_allclose(together.vision[place], alone.vision[0], atol=1e-4)
        np.testing.assert_allclose(together.hidden[place], alone.hidden[0], atol=1e-3)
    assert np.abs(together.vision[0] - together.vision[1]).max() > 0.1


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "smolvlm"])
def test_features_are_the_models_own(kind: str) -> None:
    model = tiny_model(kind)
    batch = batch_of(kind, ASKS[:1], [0])
    inputs = {name: value for name, value in batch.inputs.items() if name != "num_images"}
    found = features(kind, model, [0])
    with torch.inference_mode():
        whole = model(
            input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True, **inputs
        )
        images = {n: v for n, v in inputs.items() if n.startswith(("pixel", "image"))}
        encoded = model.base_model.get_image_features(**images).pooler_output
    tokens = encoded if isinstance(encoded, torch.Tensor) else torch.cat([*encoded])
    np.testing.assert_allclose(found.vision[0], tokens.reshape(-1, 32).mean(0), atol=1e-5)
    np.testing.assert_allclose(found.hidden[0], whole.hidden_states[-1][0, -1], atol=1e-5)


def test_where_image_tokens_are_not_told_apart_prompts_are_encoded_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model("qwen2_5_vl")
    expected = features("qwen2_5_vl", model, [0, 1])
    monkeypatch.setattr(module, "_image_tokens", lambda *_: None)
    found = features("qwen2_5_vl", model, [0, 1])
    np.testing.assert_allclose(found.vision, expected.vision, atol=1e-4)


def test_an_adapter_that_is_off_leaves_the_features_of_the_base() -> None:
    expected = features("qwen2_5_vl", tiny_model("qwen2_5_vl"), [0])
    config = LoraConfig(target_modules=["v_proj", "o_proj"], init_lora_weights=False)
    tuned = get_peft_model(tiny_model("qwen2_5_vl"), config).eval()
    assert np.abs(features("qwen2_5_vl", tuned, [0]).hidden - expected.hidden).max() > 1e-3
    with tuned.disable_adapter():
        np.testing.assert_allclose(
            features("qwen2_5_vl", tuned, [0]).hidden, expected.hidden, atol=1e-5
        )


class Plain:
    """A model without image features, whose inner model gives other things than hidden states."""

    config = SimpleNamespace()

    @property
    def base_model(self) -> Any:
        return self

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        return {}


def test_a_model_without_features_says_so() -> None:
    prompts: list[Prompt] = []
    found = probe_features(Plain(), prompts, lambda _: {"input_ids": torch.zeros(1, 3)})
    assert found.vision == "Plain has no image features of its own"
    assert found.hidden == "Plain gives no hidden states"
