"""An adapter is what its configuration says, on the model that it was trained on, or is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from rftkit.errors import ModelError
from rftkit.models.adapters import FIRST, SWITCHES, add, check_adapter, put_adapter, using

Tensors = dict[str, torch.Tensor]
IDS = torch.tensor([[1, 2, 3, 4]])
Q = "base_model.model.model.layers.0.self_attn.q_proj"


def model(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=32, num_hidden_layers=2, **sizes)).eval()


def trained(folder: Path, **settings: Any) -> tuple[Path, torch.Tensor]:
    """An adapter in a folder, and the logits of its model."""
    chosen = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    tuned = get_peft_model(model(), LoraConfig(**chosen | settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_()
        logits = tuned.eval()(IDS).logits
    tuned.save_pretrained(folder)
    return folder, logits


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return trained(tmp_path / "adapter")[0]


def configure(adapter: Path, **changes: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change(adapter: Path, changed: Callable[[Tensors], object]) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    changed(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": r".*layers\.1\..*(q|up)_proj"},
        {"target_modules": "all-linear", "exclude_modules": r".*mlp.*"},
        {"target_modules": ["q_proj", "up_proj"], "exclude_modules": ["layers.0.mlp.up_proj"]},
    ],
)
def test_what_was_trained_is_what_is_put_on(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder, logits = trained(tmp_path / "adapter", **settings)
    tuned = put_adapter(model(), folder)
    with torch.no_grad():
        assert torch.equal(tuned.eval()(IDS).logits, logits)
        other, others = trained(tmp_path / "other", **{**settings, "r": 2})
        name = add(tuned, other)
        assert add(tuned, other) == name
        with using(tuned, name):
            assert torch.equal(tuned(IDS).logits, others)
        assert tuned.active_adapter == FIRST
        assert torch.equal(tuned(IDS).logits, logits)


def refusal(adapter: Path) -> str:
    with pytest.raises(ModelError) as caught:
        put_adapter(model(), adapter)
    line = str(caught.value)
    assert line.startswith(str(adapter))
    assert "\n" not in line
    assert len(line) < 500
    return line


def drop(*names: str) -> Callable[[Tensors], object]:
    return lambda tensors: [tensors.pop(name) for name in names]


def rename(tensors: Tensors) -> None:
    for name in [*tensors]:
        tensors[name.replace("self_attn", "attention")] = tensors.pop(name)


@pytest.mark.parametrize(("changed", "says"), [
    (drop(f"{Q}.lora_A.weight"), f"{Q}.lora_A.weight is missing"),
    (drop(f"{Q}.lora_B.weight"), f"{Q}.lora_B.weight is missing"),
    (drop(f"{Q}.lora_A.weight", f"{Q}.lora_B.weight"),
     "does not fit the model (it holds no tensor for model.layers.0.self_attn.q_proj)"),
    (Tensors.clear, "adapter_model.safetensors holds no tensors"),
    (rename, "it holds no tensor for model.layers.0.self_attn.k_proj, nor 7 more"),
    (lambda t: t.update({f"{Q}2.lora_A.weight": t[f"{Q}.lora_A.weight"].clone(),
                         f"{Q}2.lora_B.weight": t[f"{Q}.lora_B.weight"].clone()}),
     "it holds a foreign tensor for model.layers.0.self_attn.q_proj2"),
    (lambda t: t.update({"lm_head.weight": torch.ones(2)}), "lm_head.weight is no tensor of LoRA"),
    (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(3, 16)}), "which is not of rank 4"),
    (lambda t: t.update({f"{Q}.lora_B.weight": torch.ones(16, 5)}), "which is not of rank 4"),
    (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 17)}), "does not fit the model ("),
    (lambda t: t.update({f"{Q}.lora_A.weight": torch.tensor(1.0)}), "has the shape [], which"),
    (lambda t: t[f"{Q}.lora_A.weight"].fill_(float("nan")), "holds numbers that are not finite"),
])  # fmt: skip
def test_tensors_that_the_configuration_does_not_mean_are_named(
    adapter: Path, changed: Callable[[Tensors], object], says: str
) -> None:
    change(adapter, changed)
    assert says in refusal(adapter)


@pytest.mark.parametrize(("changes", "says"), [
    *(({name: True}, f"{name} is True, which rftkit does not write") for name in SWITCHES),
    ({"rank_pattern": {"q_proj": 2}}, "rank_pattern is {'q_proj': 2}, which rftkit"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which rftkit does not write"),
    ({"bias": "all"}, "bias is 'all', which rftkit does not write"),
    ({"peft_type": "PROMPT_TUNING"}, "peft_type is 'PROMPT_TUNING', not 'LORA'"),
    ({"peft_type": None}, "peft_type is 'None', not 'LORA'"),
    ({"r": 3_000_000}, "which is not of rank 3000000"),
    ({"r": "4"}, "r is 4, not a rank"),
    ({"r": True}, "r is True, not a rank"),
    ({"r": -4}, "r is -4, not a rank"),
    ({"r": None}, "r is None, not a rank"),
    ({"lora_alpha": "much"}, "lora_alpha is much, not a number up to 10000"),
    ({"lora_alpha": 1e308}, "lora_alpha is 1e+308, not a number up to 10000"),
    ({"lora_alpha": float("nan")}, "lora_alpha is nan, not a number up to 10000"),
    ({"lora_alpha": 0}, "lora_alpha is 0, not a number up to 10000"),
    ({"target_modules": None}, "target_modules is neither a list of names nor a pattern"),
    ({"target_modules": [1, 2]}, "target_modules is neither a list of names nor a pattern"),
    ({"target_modules": {"a": 1}}, "target_modules is neither a list of names nor a pattern"),
    ({"exclude_modules": 3}, "exclude_modules is neither a list of names nor a pattern"),
    ({"target_modules": "(q_proj"}, "target_modules is no pattern (missing )"),
    ({"target_modules": []}, "it holds a foreign tensor for model.layers.0.mlp.down_proj"),
    ({"target_modules": "all-linear"}, "it holds a foreign tensor for model.layers.0.mlp"),
    ({"exclude_modules": ".*q_proj"}, "it holds a foreign tensor for model.layers.0.self_attn.q"),
])  # fmt: skip
def test_what_a_configuration_must_not_say_is_named(
    adapter: Path, changes: dict[str, object], says: str
) -> None:
    configure(adapter, **changes)
    assert says in refusal(adapter)


@pytest.mark.parametrize(("text", "says"), [
    ("[]", "adapter_config.json is no JSON object"),
    ("{", "damaged adapter (Expecting property name"),
    ("[" * 100_000, "adapter_config.json is nested too deeply"),
    (" " * 2**20 + "{}", "adapter_config.json has more than 1048576 bytes"),
    ("{}", "peft_type is 'None', not 'LORA'"),
    (b"\xff\xfe{}", "damaged adapter ('utf-8' codec can't decode"),
])  # fmt: skip
def test_a_damaged_configuration_is_refused(adapter: Path, text: str | bytes, says: str) -> None:
    content = text.encode() if isinstance(text, str) else text
    (adapter / "adapter_config.json").write_bytes(content)
    assert says in refusal(adapter)


@pytest.mark.parametrize("pattern", [r"(\w+\.?)*!", r"(.*)*(.*)*x!", "(a?){30}" * 30, "(" * 5000])
def test_a_slow_pattern_is_refused_in_time(adapter: Path, pattern: str) -> None:
    configure(adapter, target_modules=pattern)
    began = time.process_time()
    with pytest.raises(ModelError):
        put_adapter(model(), adapter)
    assert time.process_time() - began < 30  # PEFT's own matching takes for ever


def test_a_file_that_is_no_safetensors_is_refused(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"\x80\x04evil")
    assert "damaged adapter (Error while deserializing header" in refusal(adapter)


def test_pickled_weights_are_not_read(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"pickled weights are not read$"):
        check_adapter(adapter)


def test_an_adapter_that_is_added_is_looked_at_as_well(adapter: Path, tmp_path: Path) -> None:
    other, _ = trained(tmp_path / "other")
    tuned = put_adapter(model(), adapter)
    change(other, drop(f"{Q}.lora_A.weight", f"{Q}.lora_B.weight"))
    with pytest.raises(ModelError, match="it holds no tensor for model"):
        add(tuned, other)
