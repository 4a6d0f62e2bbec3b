"""A merged copy computes what the model with its adapter computes, and is taken away again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from vlm_batches import Ask, batch_of, tiny_model

from rftkit.models.merged import MergedCopy


def adapted(kind: str) -> Any:
    """A random model whose adapter changes it, on the language model and the encoder."""
    model = get_peft_model(tiny_model(kind), LoraConfig(r=4, target_modules="all-linear"))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return model.eval()


def logits(model: Any, batch: Any) -> torch.Tensor:
    inputs = {name: value for name, value in batch.inputs.items() if name != "num_images"}
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=batch.ids, attention_mask=batch.mask, **inputs).logits
    return found


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "idefics3"])
def test_logits_are_those_of_the_model(kind: str) -> None:
    model, batch = adapted(kind), batch_of(kind, [Ask(3, 4, (4, 4), (5, 3))], (0, 1))
    expected = logits(model, batch)
    with model.disable_adapter():
        base = logits(model, batch)
    assert (expected - base).abs().max() > 0.1, "an adapter worth merging"
    copy = MergedCopy(model)
    copy.refresh()
    with copy.in_place():
        merged = logits(model, batch)
        with torch.no_grad():
            copy.layers[0].weight.neg_()
        assert not torch.allclose(logits(model, batch), merged, atol=1e-3), "it is the copy"
    torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(model, batch), expected, atol=0, rtol=0)


def test_a_copy_is_made_anew_after_a_step() -> None:
    model, batch = adapted("qwen2_5_vl"), batch_of("qwen2_5_vl", [Ask(3, 4, (4, 4), (5,))], (0,))
    copy = MergedCopy(model)
    copy.refresh()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.mul_(2.0)
    with copy.in_place():
        stale = logits(model, batch)
    copy.refresh()
    with copy.in_place():
        torch.testing.assert_close(logits(model, batch), logits(model, batch))
        fresh = logits(model, batch)
    torch.testing.assert_close(fresh, logits(model, batch), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(stale, fresh, atol=1e-3)


def test_its_size_is_that_of_the_adapted_matrices_of_the_language_model() -> None:
    model = adapted("qwen2_5_vl")
    adapted_matrices = [
        module.get_base_layer().weight
        for name, module in model.named_modules()
        if hasattr(module, "lora_A") and "visual" not in name
    ]
    assert len(adapted_matrices) == 3 * 7
    assert MergedCopy(model).bytes == sum(4 * weight.numel() for weight in adapted_matrices)
