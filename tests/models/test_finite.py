"""NaN and infinity in weights and logits are found before a token is sampled, and named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from vlm_batches import tiny_model

from rftkit.errors import ModelError
from rftkit.models.finite import all_finite, damaged_base, finite_logits

PROMPT = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def model() -> Any:
    """A tiny random model with an adapter that changes what it writes."""
    config = LoraConfig(target_modules=["v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    return get_peft_model(tiny_model("qwen2_5_vl"), config).eval()


def fill(model: Any, part: str, value: float) -> str:
    """Put a value into one number of the first parameter whose name holds `part`; its name."""
    name, parameter = next((n, p) for n, p in model.named_parameters() if part in n)
    with torch.no_grad():
        parameter.view(-1)[0] = value
    return str(name)


def written(model: Any, sampled: bool = True) -> list[int]:
    torch.manual_seed(0)
    with finite_logits(model):
        ids = model.generate(input_ids=PROMPT, max_new_tokens=3, do_sample=sampled)
    found: list[int] = ids[0, PROMPT.shape[1] :].tolist()
    return found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_not_finite_is_found(value: float) -> None:
    tensors = [torch.ones(3), torch.ones(2, 2, dtype=torch.bfloat16)]
    assert all_finite(tensors)
    assert all_finite([])
    tensors[1][1, 0] = value
    assert not all_finite(tensors)


def test_large_weights_are_finite() -> None:
    assert all_finite([torch.full((4,), 3e38)])  # whose squares are not


@pytest.mark.parametrize("sampled", [True, False])
def test_a_healthy_model_writes_what_it_writes_without_the_check(model: Any, sampled: bool) -> None:
    torch.manual_seed(0)
    plain = model.generate(input_ids=PROMPT, max_new_tokens=3, do_sample=sampled)
    assert written(model, sampled) == plain[0, PROMPT.shape[1] :].tolist()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("sampled", [True, False])
def test_a_base_weight_that_is_not_finite_is_named(model: Any, value: float, sampled: bool) -> None:
    name = fill(model, "layers.1.mlp.up_proj", value).removeprefix("base_model.model.")
    with pytest.raises(ModelError) as caught:
        written(model, sampled)
    assert f"the base model: {name} holds NaN or infinity; " in str(caught.value)
    assert damaged_base(model) == str(caught.value)


def test_an_adapter_weight_that_is_not_finite_is_named_and_the_base_still_answers(
    model: Any,
) -> None:
    name = fill(model, "layers.1.self_attn.v_proj.lora_A", float("nan"))
    name = name.removeprefix("base_model.model.")
    with pytest.raises(ModelError, match=f"^the adapter: {name} holds NaN or infinity; "):
        written(model)
    assert damaged_base(model) is None
    with model.disable_adapter():
        assert len(written(model)) == 3


def test_an_adapter_whose_numbers_overflow_is_named(model: Any) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1e30 if "lora_" in name else 1)
    with pytest.raises(
        ModelError, match=r"^the adapter: logits are NaN or infinite, .*\(float32\); "
    ):
        written(model)


def test_a_base_whose_numbers_overflow_is_named(model: Any) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1e30 if "mlp" in name else 1)
    with (
        model.disable_adapter(),
        pytest.raises(
            ModelError, match=r"^the base model: logits are NaN or infinite, .*\(float32\); "
        ),
    ):
        written(model)


def test_a_token_that_is_ruled_out_is_no_fault(model: Any) -> None:
    with finite_logits(model):
        ids = model.generate(input_ids=PROMPT, max_new_tokens=2, suppress_tokens=[3, 4])
    assert ids.shape == (1, 6)


def test_the_model_is_left_as_it_was_also_when_nested(model: Any) -> None:
    inner = model.get_base_model()
    with finite_logits(model):
        with finite_logits(model):
            model.generate(input_ids=PROMPT, max_new_tokens=1)
        fill(model, "layers.1.mlp.up_proj", float("nan"))
        with pytest.raises(ModelError):
            model.generate(input_ids=PROMPT, max_new_tokens=1)
    assert "generate" not in vars(inner)
    own = inner.generate = lambda **_: PROMPT  # as Unsloth puts one there
    with finite_logits(inner):
        assert inner.generate is not own
    assert inner.generate is own
