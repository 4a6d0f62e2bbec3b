"""What a recipe needs of a GPU: sizes as published, parts as counted by hand, verdicts, changes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rftkit.cli import main as cli
from rftkit.errors import ModelError, RecipeError
from rftkit.hardware import memory_parts, probe
from rftkit.hardware.backends import backend_of, elsewhere, generation_of, planned
from rftkit.hardware.gpus import CARDS, GIB, Card, card_of
from rftkit.hardware.memory_plan import Need, cheapest, need, setup_of, smallest, verdict
from rftkit.hardware.phases import Setup
from rftkit.hardware.probe import Gpu
from rftkit.model_info.shapes import Text, Vision
from rftkit.model_info.sizes import KNOWN, shape_of, smaller
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import TINY, Model
from rftkit.recipe.toml import load_recipe, parse_recipe

THREE = "Qwen/Qwen2.5-VL-3B-Instruct"
SEVEN = "Qwen/Qwen2.5-VL-7B-Instruct"
# one layer, two heads of 8 that share a key, hidden 16, MLP 32, 100 words, head apart
SMALL = Text(16, 32, 1, 2, 1, 100, tied=False, head=8)


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('[data]\nsource = "digits"\n', "test", overrides)


def named(name: str) -> Model:
    return Model(name=name)


def part(needed: Need, name: str) -> float:
    (found,) = [p.bytes for p in needed.parts if p.name == name]
    return found


# the parameters that the hub's cards of the checkpoints state
PUBLISHED = {
    "Qwen2-VL-2B-Instruct": 2_208_985_600,
    "Qwen2-VL-7B-Instruct": 8_291_375_616,
    "Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen2.5-VL-32B-Instruct": 33_452_718_336,
    "Qwen3-VL-2B-Instruct": 2_127_532_032,
    "Qwen3-VL-4B-Instruct": 4_437_815_808,
    "Qwen3-VL-8B-Instruct": 8_767_123_696,
    "SmolVLM-256M-Instruct": 256_484_928,
    "SmolVLM-500M-Instruct": 507_482_304,
    "SmolVLM-Instruct": 2_246_272_880,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_a_known_model_has_the_parameters_that_it_was_published_with(
    name: str, parameters: int
) -> None:
    (shape,) = [shape for shape in KNOWN if shape.name == name]
    assert shape.size == parameters


@pytest.mark.parametrize(("name", "gib"), [
    ("Qwen/Qwen2-VL-2B-Instruct", 2.3), (THREE, 3.2), (SEVEN, 6.4),
    ("Qwen/Qwen3-VL-2B-Instruct", 2.0), ("Qwen/Qwen3-VL-4B-Instruct", 3.2),
    ("Qwen/Qwen3-VL-8B-Instruct", 6.7),
])  # fmt: skip
def test_4_bit_weights_are_as_large_as_those_of_the_checkpoints(name: str, gib: float) -> None:
    assert memory_parts.weights(shape_of(named(name)), four_bit=True).total / GIB == pytest.approx(
        gib, abs=0.06
    )


def test_weights_are_counted_by_part() -> None:
    # q 256, k and v 128 each, o 256, gate, up and down 512 each
    assert SMALL.linear == 2304
    assert SMALL.rest == 2 * 1600 + 2 * 16 + 16
    shape = shape_of(named(THREE))
    held = memory_parts.weights(shape, four_bit=True)
    assert held.matrices == shape.text.linear * (0.5 + 1 / 64 + 4 / 16384)
    assert held.rest == 2 * (151936 * 2048 + 36 * (2 * 2048 + 20 * 128) + 2048)
    assert held.vision == 2 * 668_684_288
    assert memory_parts.weights(shape, four_bit=False).total == 2 * shape.size


def test_a_head_of_its_own_is_counted_and_one_that_is_tied_is_not() -> None:
    tied = Text(16, 32, 1, 2, 1, 100, tied=True, head=8)
    assert SMALL.rest - tied.rest == 1600


def test_the_adapter_has_rank_times_inputs_and_outputs() -> None:
    shape = shape_of(named(THREE))
    layer = 2 * (2048 + 2048) + 2 * (2048 + 256) + 2 * (2048 + 11008) + (11008 + 2048)
    assert memory_parts.adapter_size(shape, 16, vision=False) == 36 * 16 * layer
    block = (1280 + 3840) + (1280 + 1280) + 3 * (1280 + 3420)
    joined = (5120 + 5120) + (5120 + 2048)
    more = memory_parts.adapter_size(shape, 1, vision=True) - memory_parts.adapter_size(
        shape, 1, vision=False
    )
    assert more == 32 * block + joined


def test_keys_and_values_of_a_token() -> None:
    assert memory_parts.kv_bytes(shape_of(named(THREE)).text) == 36_864
    assert memory_parts.kv_bytes(SMALL) == 2 * 1 * 1 * 8 * 2


def test_what_a_token_takes_within_a_layer() -> None:
    assert memory_parts.layer_bytes(SMALL, gradients=False) == 2 * (96 + 32 + 32) + 128
    kept = 2 * (128 + 64 + 32 + 64) + 128
    assert memory_parts.layer_bytes(SMALL, gradients=True) == kept + 2 * (64 + 32)


def test_what_a_image_takes() -> None:
    encoder = Vision(8, 16, 2, 4, 2)
    assert memory_parts.image_bytes(encoder, 10, gradients=False) == 10 * (
        2 * 80 + 128 + 4 * 6 * 16
    )
    more = 2 * (48 + 64) + 2 * 2 * 8
    assert memory_parts.image_bytes(encoder, 10, gradients=True) == 10 * (288 + 384 + more)


def test_logits_are_counted_whole_or_a_few_at_a_time() -> None:
    assert memory_parts.logits(SMALL, 50) == 14 * 5000
    assert memory_parts.logits(SMALL, 50, at_once=1000) == 18 * 1000
    assert memory_parts.logits(SMALL, 5, at_once=1000) == 18 * 500


def test_the_phases_of_grpo_by_hand() -> None:
    wanted = recipe("style=direct", "method.batch_size=2", "method.max_new_tokens=16")
    shape, found = shape_of(wanted.model), need(wanted, setup=Setup("transformers"))
    prompt = 512 + 256
    assert (found.image_tokens, found.prompt_tokens) == (512, prompt)
    packed = prompt + 8 * 16
    kept = packed * 2048 * 2 * 36
    layer = packed * memory_parts.layer_bytes(shape.text, True)
    scored = min(8 * 16 * 151936, 2**24) * 18
    image = memory_parts.image_bytes(shape.vision, 2048, False)
    masked = 3 * packed**2
    assert part(found, "forward and backward") == kept + max(layer, scored, image) + masked
    cache = 16 * (prompt + 16) * 36_864 * 37 / 36 + 3 * 16 * 151936 * 4
    offloaded = need(wanted, setup=Setup("unsloth"))
    kept = packed * 2048 * 2 * 2
    assert part(offloaded, "forward and backward") == kept + max(layer, scored, image) + masked
    read = max(2 * prompt * memory_parts.layer_bytes(shape.text, False), 2 * image)
    assert part(found, "rollout") == pytest.approx(max(cache, read + 2 * prompt * 36_864))


def test_the_peak_is_what_is_always_there_and_the_costliest_phase() -> None:
    found = need(recipe())
    always = sum(p.bytes for p in found.parts if not p.phase)
    phases = {p.phase: p.bytes for p in found.parts if p.phase}
    assert found.bytes == always + max(phases.values())
    assert phases[found.peak_phase] == max(phases.values())
    assert {*phases} == {"rollout", "training", "evaluation"}


def test_a_shared_prefix_takes_less_than_a_prompt_for_every_completion() -> None:
    wanted = recipe("style=direct")
    shared = need(wanted, setup=Setup("transformers", trainer="shared"))
    stock = need(wanted, setup=Setup("transformers", trainer="trl"))
    assert part(stock, "forward and backward") > 4 * part(shared, "forward and backward")
    assert part(stock, "rollout") > 3 * part(shared, "rollout")


def test_imitation_has_no_rollout_and_takes_one_example_at_a_time() -> None:
    few, many = (need(recipe("method.kind=sft", f"method.batch_size={n}")) for n in (1, 32))
    assert [p.phase for p in few.parts if p.phase] == ["training", "evaluation"]
    assert part(few, "forward and backward") == part(many, "forward and backward")


@pytest.mark.parametrize("card", [None, card_of("t4"), card_of("l4")])
def test_adapter_gradient_and_moments_are_counted_in_32_bit(card: Card | None) -> None:
    found = need(recipe(), card)
    parameters = memory_parts.adapter_size(found.shape, 16, vision=False)
    assert part(found, "adapter") == (4 + 4) * parameters
    assert part(found, "optimizer") == (4 + 4) * parameters


def test_the_engine_takes_a_share_of_the_card_with_the_weights_it_serves() -> None:
    wanted, card = recipe("model.backend=unsloth", "model.generation=vllm"), card_of("16GB")
    found = need(wanted, card)
    shape, load = found.shape, memory_parts.weights(found.shape, True).total
    reserved = memory_parts.engine(shape, 32, 768 + 256, 2048, 0.0)
    assert part(found, "vLLM") == reserved
    assert reserved > 32 * 1024 * 36_864
    assert found.share == pytest.approx((reserved + load) / card.bytes)
    own = need(wanted, card, Setup("transformers", "vllm", "shared"))
    assert part(own, "vLLM") == pytest.approx(reserved + load)
    assert need(recipe(), card).share == 0


@pytest.mark.parametrize(("overrides", "setup"), [
    ((), Setup("unsloth", "transformers", "shared")),
    (("model.backend=transformers",), Setup("transformers", "transformers", "shared")),
    (("model.generation=vllm",), Setup("unsloth", "vllm", "shared")),
    (("method.trainer=trl",), Setup("unsloth", "transformers", "trl")),
    (("method.trainer=unsloth",), Setup("unsloth", "transformers", "unsloth")),
    (("model.generation=vllm", "method.kind=sft"), Setup("unsloth", "transformers", "unsloth")),
    (("model.backend=transformers", "method.kind=sft"),
     Setup("transformers", "transformers", "trl")),
])  # fmt: skip
def test_a_recipe_is_planned_as_it_would_run(overrides: tuple[str, ...], setup: Setup) -> None:
    assert setup_of(recipe(*overrides)) == setup


@pytest.mark.parametrize(("gib", "expected"), [(10.01, "no"), (10.5, "tight"), (11.2, "fits")])
def test_a_verdict_leaves_a_tenth_free(
    gib: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Need, "bytes", property(lambda self: 10.05 * GIB))
    assert verdict(need(recipe()), Card("x", gib)) == expected


# the targets for which this path was built: 8 completions, 512 image tokens
@pytest.mark.parametrize(("overrides", "gigabytes"), [
    (("style=direct", "method.max_new_tokens=16"), 8),
    (("style=think",), 12),
    (("style=direct", "method.max_new_tokens=16", f"model.name={SEVEN}"), 16),
])  # fmt: skip
def test_the_default_recipe_fits_the_card_it_was_made_for(
    overrides: tuple[str, ...], gigabytes: int
) -> None:
    card = card_of(f"{gigabytes}GB")
    assert verdict(need(recipe(*overrides), card), card) == "fits"


def test_the_cheapest_change_comes_before_those_that_cost_more() -> None:
    card = card_of("6GB")
    assert verdict(need(recipe("eval.batch_size=64")), card) == "no"
    change = cheapest(recipe("eval.batch_size=64", "method.batch_size=1"), card)
    assert change is not None
    assert (change.key, change.verdict) == ("eval.batch_size", "fits")
    assert change.words == f"--set eval.batch_size={change.value}"


@pytest.mark.parametrize(("overrides", "size"), [
    (("eval.batch_size=64",), "8GB"),
    (("model.load_in_4bit=false",), "12GB"),
    (("model.max_pixels=12845056", "eval.batch_size=1"), "24GB"),
    ((f"model.name={SEVEN}",), "8GB"),
])  # fmt: skip
def test_the_change_that_is_named_does_what_it_says(overrides: tuple[str, ...], size: str) -> None:
    card = card_of(size)
    change = cheapest(recipe(*overrides), card)
    assert change is not None
    after = need(recipe(*overrides, f"{change.key}={change.value}"), card)
    assert (after.bytes, verdict(after, card)) == (change.bytes, change.verdict)


def test_where_nothing_helps_nothing_is_named() -> None:
    assert cheapest(recipe("model.name=Qwen/Qwen2.5-VL-32B-Instruct"), card_of("2GB")) is None


def test_the_smallest_size_is_the_first_that_fits() -> None:
    assert smallest(recipe()) == "8GB"
    assert smallest(recipe("model.name=Qwen/Qwen2.5-VL-32B-Instruct")) == "40GB"
    assert smallest(recipe("model.name=tiny")) == "8GB"


@pytest.mark.parametrize(("name", "expected"), [
    ("unsloth/Qwen2.5-VL-3B-Instruct-unsloth-bnb-4bit", "Qwen2.5-VL-3B-Instruct"),
    ("Qwen/Qwen2.5-VL-7B-Instruct@main", "Qwen2.5-VL-7B-Instruct"),
    ("Qwen/Qwen3-VL-4B-Thinking", "Qwen3-VL-4B-Instruct"),
    ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "SmolVLM2-2.2B-Instruct"),
    ("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "SmolVLM2-256M-Video-Instruct"),
    ("OpenGVLab/InternVL3_5-4B-HF", "InternVL3_5-4B-HF"),
    ("unsloth/gemma-3-4b-it-unsloth-bnb-4bit", "gemma-3-4b-it"),
    ("Qwen/Qwen3.5-4B", "Qwen3.5-4B"),
    ("HuggingFaceTB/SmolVLM-500M-Instruct", "SmolVLM-500M-Instruct"),
    ("tiny-scenes", "tiny, 112 pixels"),
])  # fmt: skip
def test_a_model_is_known_by_its_name(name: str, expected: str) -> None:
    assert shape_of(named(name)).name == expected


def test_a_model_of_unknown_size_is_refused() -> None:
    with pytest.raises(ModelError, match="not among the models whose sizes are known"):
        shape_of(named("someone/llava-1.5-7b"))


CONFIGS = {  # name of a known model -> its config.json, as far as it is read
    "Qwen2.5-VL-3B-Instruct": {
        "model_type": "qwen2_5_vl", "hidden_size": 2048, "intermediate_size": 11008,
        "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2,
        "vocab_size": 151936, "tie_word_embeddings": True,
        "vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32,
                          "patch_size": 14, "spatial_merge_size": 2},
    },
    "Qwen2-VL-2B-Instruct": {
        "model_type": "qwen2_vl", "hidden_size": 1536, "intermediate_size": 8960,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "vocab_size": 151936, "tie_word_embeddings": True,
        "vision_config": {"embed_dim": 1280, "hidden_size": 1536, "mlp_ratio": 4, "depth": 32,
                          "patch_size": 14, "spatial_merge_size": 2},
    },
    "Qwen3-VL-4B-Instruct": {
        "model_type": "qwen3_vl", "tie_word_embeddings": True,
        "text_config": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
                        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
                        "vocab_size": 151936},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24,
                          "patch_size": 16, "spatial_merge_size": 2,
                          "deepstack_visual_indexes": [5, 11, 17],
                          "num_position_embeddings": 2304},
    },
    "SmolVLM-Instruct": {
        "model_type": "idefics3", "scale_factor": 3, "tie_word_embeddings": False,
        "text_config": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
                        "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 64,
                        "vocab_size": 49155},
        "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                          "image_size": 384, "patch_size": 14},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_local_folder_is_as_large_as_its_config_says(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name]))
    assert shape_of(named(str(tmp_path))).size == PUBLISHED[name]


@pytest.mark.parametrize(("text", "said"), [
    ("{", "cannot be read"),
    ('{"model_type": "llava"}', "lacks a size"),
    ('{"model_type": "llamas", "text_config": {"hidden_size": 8, "intermediate_size": 8, '
     '"num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}, "vision_config": '
     '{"hidden_size": 8, "patch_size": 2, "depth": 1}}', "transformers cannot build this model"),
    ('{"model_type": "qwen2_vl", "hidden_size": 8}', "lacks a size"),
    ("[]", "lacks a size"),
])  # fmt: skip
def test_a_config_that_says_too_little_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=said):
        shape_of(named(str(tmp_path)))


def test_the_next_smaller_model_is_of_the_same_kind() -> None:
    assert [below.hub for below in [smaller(shape_of(named(SEVEN)))] if below] == [THREE]
    assert smaller(shape_of(named("Qwen/Qwen3-VL-2B-Instruct"))) is None


@pytest.mark.parametrize(("name", "gib"), [
    ("12GB", 11.64), ("12", 11.64), ("24 gb", 23.28), ("T4", 14.75), ("rtx 4090", 23.65),
    ("NVIDIA-L4", 22.17), ("rtx3060", 11.76), ("3090", 23.69), ("a100", 39.56),
])  # fmt: skip
def test_a_card_is_known_by_name_or_size(name: str, gib: float) -> None:
    assert card_of(name).gib == pytest.approx(gib)


@pytest.mark.parametrize("name", ["", "0GB", "12TB", "-4GB", "9999GB", "potato", "nan"])
def test_a_card_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="neither a size such as 12GB nor a known card: t4"):
        card_of(name)


def test_cards_of_one_generation_share_their_capability() -> None:
    assert {name for name, card in CARDS.items() if card.capability < 8} == {"t4", "v100"}


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(probe, "gpus", list)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rftkit", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return int(caught.value.code or 0), written.out, written.err

    return run


def test_the_command_says_what_fits(run: Run) -> None:
    code, out, err = run("plan", "aircraft_4shot", "--gpu", "12GB")
    assert (code, err) == (0, "")
    assert "fits: 12GB has 11.64 GiB, " in out
    code, out, _ = run("plan", "aircraft_4shot")
    assert (code, out.splitlines()[-1]) == (0, "smallest card that it fits: 8GB")


def test_the_command_ends_in_1_where_it_does_not_fit(run: Run) -> None:
    code, out, err = run("plan", "aircraft_4shot", "--gpu", "4GB")
    assert code == 1
    assert "no: 4GB has 3.88 GiB, " in out
    assert err.startswith("rftkit: --gpu 4GB: needs ")


def test_the_command_takes_this_machine_where_no_card_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Gpu("NVIDIA GeForce RTX 3060", "580.1", 12288, 12000, 8.6)
    monkeypatch.setattr(probe, "gpus", lambda: [here])
    _, out, _ = run("plan", "aircraft_4shot")
    assert "fits: NVIDIA GeForce RTX 3060 has 12.00 GiB" in out


@pytest.mark.parametrize(("arguments", "said"), [
    (("aircraft_4shot", "--gpu", "huge"), "rftkit: --gpu 'huge': neither a size such as 12GB nor"),
    (("aircraft_4shot", "--set", "model.name=x/llava"), "rftkit: model.name: 'x/llava' is not amo"),
    (("nothing_of_this_name",), "rftkit: nothing_of_this_name"),
    (("aircraft_4shot", "--set", "method.trainer=unsloth", "--set", "model.backend=transformers"),
     "rftkit: method.trainer: 'unsloth', but transformers loads the model; set method.trainer = "),
    (("aircraft_4shot", "--set", "method.steps=0"), "rftkit: "),
])  # fmt: skip
def test_what_cannot_be_planned_is_said_in_one_line(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run("plan", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(said)


def test_a_card_that_vllm_does_not_serve_is_refused(run: Run) -> None:
    code, out, err = run("plan", "aircraft_4shot", "--gpu", "t4", "--set", "model.generation=vllm")
    assert (code, err.count("\n")) == (1, 1)
    assert "'vllm' needs compute capability 8, this GPU has 7.5" in err
    assert "completions written by vLLM" in out
    assert run("plan", "aircraft_4shot", "--gpu", "24GB", "--set", "model.generation=vllm")[0] == 0


def test_without_a_gpu_the_plan_says_that_it_is_of_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "gpus", list)
    assert "there is no GPU here; on one: model loaded by Unsloth" in run("plan", "quickstart")[1]


def test_json_has_the_same_numbers(run: Run) -> None:
    code, out, _ = run("plan", "aircraft_4shot", "--gpu", "4GB", "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["gpu"], found["smallest"]) == (1, "no", "4GB", "8GB")
    always = [part["bytes"] for part in found["parts"] if not part["phase"]]
    moving = [part["bytes"] for part in found["parts"] if part["phase"]]
    assert found["peak_bytes"] == pytest.approx(sum(always) + max(moving), abs=9)


ROOT = Path(__file__).parents[2]
MEMORY = r"^# Memory: not measured yet; fits (\d+) GB by `rftkit plan` \((.*) GiB\)$"
LARGE = [path for path in sorted((ROOT / "recipes").glob("*.toml"))
         if load_recipe(path).model.name not in TINY]  # fmt: skip


def test_there_are_recipes_for_a_gpu() -> None:
    assert len(LARGE) >= 18


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_a_recipe_for_a_gpu_names_the_smallest_that_fits(path: Path) -> None:
    said = re.search(MEMORY, path.read_text("utf-8"), re.M)
    assert said is not None
    wanted = load_recipe(path)
    assert smallest(wanted) == f"{said[1]}GB"
    assert f"{need(wanted).bytes / GIB:.1f}" == said[2]


@pytest.mark.parametrize("vllm", [False, True])
@pytest.mark.parametrize("gpu", ["8GB", "12GB", "t4", "16GB", "24GB"])
@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_a_recipe_runs_on_a_card_as_it_is_planned(path: Path, gpu: str, vllm: bool) -> None:
    wanted, machine = load_recipe(path), replace(elsewhere(card_of(gpu)), vllm=vllm)
    setup = planned(wanted, machine)
    assert setup.backend == backend_of(wanted.model, machine) == "unsloth"
    assert setup.generation == generation_of(wanted, machine)
    assert setup.shared == (wanted.method.kind == "grpo")


MODELS = ("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen3-VL-4B-Instruct",
          SEVEN, "Qwen/Qwen3-VL-8B-Instruct")  # fmt: skip


@pytest.mark.parametrize(("row", "gpu"), [
    ("8 GB", "8GB"), ("12 GB", "12GB"), ("T4, 15 GB", "t4"), ("16 GB", "16GB"), ("24 GB", "24GB"),
])  # fmt: skip
def test_the_table_of_cards_is_the_plans(row: str, gpu: str) -> None:
    machine = replace(elsewhere(card_of(gpu)), vllm=True)

    def fits(style: str, name: str) -> str:
        wanted = recipe(f"style={style}", f"model.name={name}")
        setup = planned(wanted, machine)
        found = verdict(need(wanted, machine.card, setup), machine.card)
        return f"{found} + vLLM" if setup.generation == "vllm" else found

    cells = []
    for name in MODELS:
        direct, think = fits("direct", name), fits("think", name)
        cells.append(direct if direct == think else f"{direct}; think {think}")
    line = f"| {row} | {' | '.join(cells)} |"
    assert line in (ROOT / "docs" / "cuda.md").read_text("utf-8").splitlines()


def test_the_page_of_figures_has_those_of_the_plan() -> None:
    text = (ROOT / "docs" / "measured.md").read_text("utf-8")
    few = ("method.batch_size=1", "eval.batch_size=4")
    direct = ("style=direct", "method.max_new_tokens=16")
    for line, overrides in (
        ("| 3B `direct`, group of 8, in 8 GB or less |", direct),
        ("| 3B `think`, 256 new tokens, in 12 GB or less |", ()),
        ("| 7B `direct` in 16 GB or less |", (*direct, f"model.name={SEVEN}")),
    ):
        assert f"{line} {need(recipe(*few, *overrides)).bytes / GIB:.1f} GiB |" in text


def test_a_warm_up_is_a_phase_of_its_own_and_its_steps_are_said(run: Run) -> None:
    plain, warmed = recipe(), recipe("method.warmup.steps=20")
    extra = [one for one in need(warmed).parts if one not in need(plain).parts]
    assert [one.phase for one in extra] == ["warm-up"]
    (imitation,) = [p for p in need(recipe("method.kind=sft")).parts if p.phase == "training"]
    assert extra[0].bytes == imitation.bytes
    out = run("plan", "quickstart", "--set", "method.warmup.steps=20")[1]
    assert "100 steps: 20 of imitation, then 80 of reinforcement" in out
    assert "of imitation" not in run("plan", "quickstart")[1]
