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
from rftkit.models.loading import Source, answering, fingerprint, load_model, resolve
from rftkit.models.policy import Decoding, Prompt
from rftkit.models.tiny.cache import ensure_tiny
from rftkit.models.transformers import open_transformers
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


@pytest.mark.parametrize(
    "shard", ["x.bin", "../o.safetensors", "/o.safetensors", "a\\b.safetensors", 5]
)
def test_an_index_names_safetensors_beside_it(base: Path, shard: object) -> None:
    index = {"metadata": {}, "weight_map": {"model.norm.weight": shard}}
    (base / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert refusal(base).endswith(
        f"its {WEIGHTS}.index.json names {str(shard)!r} as weights, which is no *.safetensors file "
        "beside it; copy the model again"
    )


def test_a_configuration_names_safetensors_beside_it(base: Path) -> None:
    changed(base, "config.json", transformers_weights="x.bin")
    assert "its config.json names 'x.bin' as transformers_weights, which is no" in refusal(base)
    (base / WEIGHTS).rename(base / "x.safetensors")
    changed(base, "config.json", transformers_weights="x.safetensors")
    assert load_model(resolve(str(base)), Model(name=str(base), load_in_4bit=False))


def changed(base: Path, file: str, **values: object) -> None:
    held = json.loads((base / file).read_text("utf-8"))
    (base / file).write_text(json.dumps(held | values), "utf-8")


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq"])
@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_weights_that_should_be_quantised_and_are_not(base: Path, method: str, bits: str) -> None:
    changed(base, "config.json", quantization_config={"quant_method": method, bits: True})
    assert refusal(base).endswith(
        "its config.json has a quantization_config, and its weights are not quantised; copy the "
        "model again"
    )


def test_more_labels_than_anything_has_are_refused(base: Path) -> None:
    changed(base, "config.json", num_labels=10**9)
    assert "its config.json asks for 1,000,000,000 num_labels" in refusal(base)


STEERS = {
    "num_beams": 3, "stop_strings": ["a"], "guidance_scale": 50.0, "dola_layers": "high",
    "repetition_penalty": 9.0, "begin_suppress_tokens": [*range(1000)], "top_k": 1, "min_p": 0.5,
    "watermarking_config": {"greenlist_ratio": 0.5, "bias": 99.0}, "forced_eos_token_id": 8,
    "sequence_bias": [[[5], 1e30]], "cache_implementation": "static", "assistant_early_exit": 1,
    "max_length": 3, "min_length": 500, "no_repeat_ngram_size": 1, "typical_p": 0.1,
}  # fmt: skip


def test_a_generation_config_says_where_text_ends_and_nothing_else(base: Path) -> None:
    prompt = [Prompt(fakes.BlankImage("p"), "what is this?")]
    settings = Model(name=str(base), load_in_4bit=False, backend="transformers")
    plain = open_transformers(settings)
    (base / "generation_config.json").write_text(json.dumps({**STEERS, "eos_token_id": [7, 8]}))
    steered = open_transformers(settings)
    for key in STEERS:
        assert getattr(steered.model.generation_config, key) is None
    assert {7, 8} < {*steered.stop_ids()}
    steered.model.generation_config.eos_token_id = plain.model.generation_config.eos_token_id
    for temperature in (0.0, 1.0):
        drawn = Decoding(max_new_tokens=12, temperature=temperature)
        assert (
            steered.generate(prompt, drawn).completions == plain.generate(prompt, drawn).completions
        )
    changed(base, "generation_config.json", eos_token_id="x")
    assert "its generation_config.json has 'x' as eos_token_id, which is no token's" in refusal(
        base
    )


@pytest.mark.parametrize(("file", "values", "said"), [
    ("config.json", {"image_token_id": 5}, "ValueError: Image features and image tokens do not"),
    ("preprocessor_config.json", {"patch_size": 0}, "ZeroDivisionError: "),
    ("chat_template.jinja", {}, "ValueError: Image features and image tokens do not"),
])  # fmt: skip
def test_numbers_that_fail_when_they_are_used_are_one_line(
    base: Path, file: str, values: dict[str, object], said: str
) -> None:
    if values:
        changed(base, file, **values)
    else:
        (base / file).write_text("{{ messages }}")
    policy = open_transformers(Model(name=str(base), load_in_4bit=False))
    prompt = [Prompt(fakes.BlankImage("p"), "what is this?")]
    for ask in (
        lambda: policy.generate(prompt, Decoding(max_new_tokens=2)),
        lambda: policy.score(prompt, [["cat", "dog"]]),
    ):
        with pytest.raises(ModelError) as caught:
            ask()
        assert str(caught.value).startswith(f"model.name: {base}: it cannot answer ({said}")
        assert caught.value.__cause__


@pytest.mark.parametrize(("raised", "seen"), [
    (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
    (KeyboardInterrupt(), KeyboardInterrupt),
    (ModelError("said before"), ModelError),
])  # fmt: skip
def test_what_is_no_fault_of_a_models_numbers_passes(
    raised: BaseException, seen: type[BaseException]
) -> None:
    with pytest.raises(seen) as caught, answering(Source("m", None)):
        raise raised
    assert caught.value is raised


def test_an_error_of_rftkits_own_keeps_its_traceback() -> None:
    line = r"m: it cannot answer \(KeyError: 'gone'\)"
    with pytest.raises(ModelError, match=line), answering(Source("m", None)):
        raise KeyError("gone")  # outside of rftkit
    own = {"__name__": "rftkit.models.new"}
    exec("def broken(): return {}['gone']", own)
    with pytest.raises(KeyError), answering(Source("m", None)):
        own["broken"]()  # type: ignore[operator]


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
