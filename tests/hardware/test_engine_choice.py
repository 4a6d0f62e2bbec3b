"""Which backend and engine a recipe gets on a machine, and what is refused beforehand."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rftkit.cli.check import check
from rftkit.errors import ModelError, RecipeError, TrainingError
from rftkit.hardware.backends import (
    Here,
    backend_of,
    check_recipe,
    elsewhere,
    engine_room,
    generation_of,
    here_with,
    planned,
)
from rftkit.hardware.gpus import Card
from rftkit.hardware.memory_plan import need
from rftkit.hardware.phases import Setup
from rftkit.hardware.prompt_size import PromptSize
from rftkit.model_info.families import architecture_of
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model
from rftkit.recipe.toml import parse_recipe
from rftkit.training.paths.vllm_agreement import LARGEST, MEAN, Agreement, judge
from rftkit.training.paths.vllm_rollouts import trainer_settings

CPU = Here(unsloth=True, vllm=True)
BARE = Here()
AMPERE = Here(8.6, 23.7, unsloth=True, vllm=True)
SMALL = Here(8.6, 5.8, unsloth=True, vllm=True)
T4 = Here(7.5, 14.75, unsloth=True, vllm=True)
BUSY = Here(8.6, 23.7, unsloth=True, vllm=True, free=8.0)
NO_VLLM = Here(8.6, 23.7, unsloth=True)
LONG, SHORT = PromptSize(1300, 2, "a test"), PromptSize(200, 1, "a test")
NO_UNSLOTH = Here(8.6, 23.7, vllm=True)


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('[data]\nsource = "digits"\n', "test", overrides)


@pytest.mark.parametrize(("asked", "machine", "expected"), [
    ("auto", AMPERE, "unsloth"), ("auto", T4, "unsloth"), ("auto", NO_UNSLOTH, "transformers"),
    ("auto", CPU, "transformers"), ("transformers", AMPERE, "transformers"),
    ("unsloth", AMPERE, "unsloth"),
])  # fmt: skip
def test_the_backend_follows_the_machine(asked: str, machine: Here, expected: str) -> None:
    assert backend_of(Model.model_validate({"backend": asked}), machine) == expected


@pytest.mark.parametrize(("machine", "said"), [
    (NO_UNSLOTH, "'unsloth' needs unsloth: pip install -c constraints.txt -e '.[unsloth]'"),
    (CPU, "'unsloth' needs a CUDA GPU; use backend = \"auto\""),
])  # fmt: skip
def test_a_backend_that_cannot_be_is_refused(machine: Here, said: str) -> None:
    with pytest.raises(ModelError, match=re.escape(f"model.backend: {said}")):
        backend_of(Model(backend="unsloth"), machine)


@pytest.mark.parametrize(("overrides", "machine", "expected"), [
    ((), AMPERE, "vllm"),
    (("model.name=Qwen/Qwen3-VL-4B-Instruct", "style=answer-first"), AMPERE, "vllm"),
    (("method.max_new_tokens=64",), AMPERE, "merged"),
    (("style=direct", "method.max_new_tokens=300"), AMPERE, "merged"),
    (("model.lora_vision=true",), AMPERE, "merged"),
    (("model.name=Qwen/Qwen2-VL-2B-Instruct",), AMPERE, "merged"),
    (("model.backend=transformers",), AMPERE, "merged"),
    ((), NO_VLLM, "merged"),
    ((), NO_UNSLOTH, "merged"),
    ((), T4, "merged"),
    (("method.kind=sft",), AMPERE, "transformers"),
    (("model.load_in_4bit=false", "style=direct"), AMPERE, "transformers"),
    (("method.trainer=unsloth", "style=direct"), AMPERE, "transformers"),
    ((), SMALL, "transformers"),
    ((), BUSY, "transformers"),
    (("model.generation=merged",), CPU, "merged"),
    ((), CPU, "transformers"),
    (("method.kind=sft", "model.generation=vllm"), T4, "transformers"),
    (("model.generation=transformers",), AMPERE, "transformers"),
    (("model.generation=vllm",), AMPERE, "vllm"),
    (("model.generation=vllm", "model.load_in_4bit=false"), NO_UNSLOTH, "vllm"),
    (("model.generation=vllm", "model.load_in_4bit=false"), CPU, "vllm"),
])  # fmt: skip
def test_the_engine_follows_recipe_and_machine(
    overrides: tuple[str, ...], machine: Here, expected: str
) -> None:
    assert generation_of(recipe(*overrides), machine) == expected


VLLM = "model.generation=vllm"
REFUSED = {  # overrides, machine -> part of the line
    "vision": ((VLLM, "model.lora_vision=true"), AMPERE, "model.lora_vision: true, but vLLM"),
    "Qwen2-VL": ((VLLM, "model.name=Qwen/Qwen2-VL-2B-Instruct"), AMPERE,
                 "Unsloth has no vLLM for architecture 'qwen2_vl'; it has it for qwen2_5_vl, "),
    "SmolVLM2": ((VLLM, "model.name=x/SmolVLM2-2.2B-Instruct"), AMPERE, "architecture 'smolvlm'"),
    "unknown": ((VLLM, "model.name=someone/llava"), AMPERE, "architecture 'someone/llava'"),
    "revision": ((VLLM, "model.name=a/qwen2.5-vl-3b@v1"), AMPERE,
                 "fetch it with `hf download a/qwen2.5-vl-3b --revision v1 --local-dir FOLDER`"),
    "old GPU": ((VLLM,), T4, "needs compute capability 8, this GPU has 7.5"),
    "absent": ((VLLM,), NO_VLLM, "'vllm' needs vllm: pip install -c constraints-vllm.txt -e '.["),
    "4 bit": ((VLLM,), NO_UNSLOTH, "model.load_in_4bit: true, but TRL hands its weights to vLLM"),
    "unknown sizes": ((VLLM, "model.name=Qwen/Qwen3-VL-30B"), AMPERE, "do not fit this GPU"),
    "Unsloth's trainer": (("model.generation=merged", "method.trainer=unsloth"), AMPERE,
                          "'merged', but Unsloth's own trainer writes without a copy"),
    "no room": ((VLLM,), SMALL, "do not fit this GPU together; see rftkit plan"),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "machine", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_by_name(
    overrides: tuple[str, ...], machine: Here, said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        generation_of(recipe(*overrides), machine)
    line = str(caught.value)
    assert said in line
    assert line.endswith(('or set model.generation = "transformers"', 'method.trainer = "auto"'))
    assert "\n" not in line


@pytest.mark.parametrize(("overrides", "refused"), [
    (("model.lora_vision=true",), True),
    (("model.name=Qwen/Qwen2-VL-2B-Instruct",), True),
    (("model.name=a/qwen2.5-vl-3b@v1",), True),
    (("model.backend=transformers",), True),
    (("model.backend=transformers", "model.load_in_4bit=false"), False),
    ((), False),
    (("method.kind=sft", "model.lora_vision=true"), False),
])  # fmt: skip
def test_a_check_of_the_recipe_alone_refuses_what_no_machine_can(
    overrides: tuple[str, ...], refused: bool
) -> None:
    wanted = recipe(VLLM, *overrides)
    if not refused:
        return check_recipe(wanted)
    with pytest.raises(RecipeError):
        check_recipe(wanted)
    return check_recipe(recipe(*overrides))


def test_the_command_refuses_it_without_reading_data(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nsource = "digits"\n[model]\ngeneration = "vllm"\nlora_vision = true\n')
    with pytest.raises(RecipeError, match="lora_vision: true, but vLLM serves no adapter"):
        check(path, [], schema_only=True)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (VLLM,),
        ("style=direct",),
        ("method.trainer=trl",),
        ("method.trainer=unsloth",),
        ("method.kind=sft",),
    ],
)
@pytest.mark.parametrize("machine", [AMPERE, NO_VLLM, NO_UNSLOTH, T4, SMALL, BUSY, CPU, BARE])
def test_what_is_planned_is_what_runs(overrides: tuple[str, ...], machine: Here) -> None:
    wanted = recipe(*overrides)
    setup = planned(wanted, machine)
    try:
        generation = generation_of(wanted, machine)
    except RecipeError:
        assert setup.generation == "vllm", "the plan shows why it is refused"
    else:
        assert setup.generation == generation
    assert setup.backend == backend_of(wanted.model, machine)


def test_a_gpu_elsewhere_is_planned_with_what_the_docs_install() -> None:
    machine = elsewhere(Card("12GB", 11.6))
    assert (machine.unsloth, machine.vllm, machine.card.name) == (True, False, "12GB")
    assert planned(recipe(), machine) == Setup("unsloth", "transformers", "shared")
    assert planned(recipe(), elsewhere(Card("24GB", 23))) == Setup("unsloth", "merged", "shared")
    assert planned(recipe(VLLM), machine) == Setup("unsloth", "vllm", "shared")


def test_a_gpu_of_this_machine_is_planned_with_what_is_installed_here() -> None:
    machine = here_with(Card("a card", 23.0, 8.9))
    assert (machine.cuda, machine.card) == (True, Card("a card", 23.0, 8.9))
    expected = "unsloth" if machine.unsloth else "transformers"
    assert planned(recipe("style=direct"), machine).backend == expected


def test_the_trainer_is_told_everything_of_its_engine() -> None:
    wanted = recipe(VLLM)
    found = trainer_settings(wanted, [7, 9], AMPERE, LONG)
    setup = Setup("unsloth", "vllm", "shared")
    planned = need(wanted, AMPERE.card, setup, LONG).share
    assert planned > need(wanted, AMPERE.card, setup).share
    assert found.pop("vllm_gpu_memory_utilization") == pytest.approx(planned, abs=5e-4)
    assert 0.1 < planned < 0.5
    assert found == {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_max_model_length": 2 * 512 + 1300 + 256,  # two images, text, completion
        "vllm_enable_sleep_mode": False,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "sequence_mask",
        "vllm_importance_sampling_clip_max": 3.0,
        "top_k": -1,
        "generation_kwargs": {"logit_bias": {7: -100.0, 9: -100.0}},
    }


def test_an_engine_with_weights_of_its_own_sleeps_while_the_trainer_works() -> None:
    wanted = recipe(VLLM, "model.load_in_4bit=false")
    assert trainer_settings(wanted, [], NO_UNSLOTH, SHORT)["vllm_enable_sleep_mode"]
    assert not trainer_settings(wanted, [], CPU, LONG)["vllm_enable_sleep_mode"]
    assert engine_room(wanted, CPU).share == 0.3


def test_unsloth_takes_its_share_of_what_is_free() -> None:
    busy, wanted = replace(AMPERE, free=20.0), recipe(VLLM)
    all_of_it, of_free = (engine_room(wanted, machine).share for machine in (AMPERE, busy))
    assert of_free * 20.0 == pytest.approx(all_of_it * 23.7, abs=0.02)
    own = recipe(VLLM, "model.load_in_4bit=false")
    of_all = engine_room(own, replace(NO_UNSLOTH, free=20.0)).share
    assert of_all == engine_room(own, NO_UNSLOTH).share


def test_every_completion_of_a_step_is_written_at_once() -> None:
    assert engine_room(recipe(VLLM, "method.batch_size=3"), AMPERE).rows == 3 * 8


@pytest.mark.parametrize("prompt", [None, LONG])
def test_vllm_has_room_for_the_prompt_of_the_plan(prompt: PromptSize | None) -> None:
    for wanted in (recipe(VLLM), recipe("model.name=tiny")):
        tokens = need(wanted, prompt=prompt).prompt_tokens
        assert engine_room(wanted, AMPERE, prompt).longest == tokens + 256
    assert engine_room(recipe("model.name=tiny"), AMPERE).longest == 4 + 256 + 256


@pytest.mark.parametrize(("name", "expected"), [
    ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl"), ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl"),
    ("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl"), ("tiny", "qwen2_5_vl"), ("someone/else", ""),
    ("HuggingFaceTB/SmolVLM-Instruct", "idefics3"), ("HuggingFaceTB/SmolVLM2-2.2B", "smolvlm"),
])  # fmt: skip
def test_an_architecture_is_known_by_name(name: str, expected: str) -> None:
    assert architecture_of(Model(name=name)) == expected


def test_an_architecture_is_read_where_there_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma3"}')
    assert architecture_of(Model(name=str(tmp_path))) == "gemma3"


def test_rounding_between_engine_and_trainer_is_passed_over() -> None:
    assert judge(0.004, 0.3) is None
    line = judge(0.1, 1.2)
    assert line is not None
    assert "differ by 0.100 a token on average, 1.200 at most" in line


@pytest.mark.parametrize("mean", [0.6, 12.0, float("inf"), float("nan")])
def test_an_engine_that_is_another_model_ends_the_run(mean: float) -> None:
    with pytest.raises(TrainingError, match="not the same model"):
        judge(mean, mean)


def test_a_difference_is_said_once_and_a_log_without_one_is_passed_over() -> None:
    out = io.StringIO()
    watching = Agreement(Console(file=out, width=200))
    for logs in (None, {}, {"loss": 1.0}, {MEAN: 0.001}, {MEAN: 0.1, LARGEST: 2.0}, {MEAN: 0.2}):
        watching.on_log(None, None, None, logs)
    assert out.getvalue().count("note: log-probabilities of vLLM and the trainer differ") == 1
    with pytest.raises(TrainingError):
        watching.on_log(None, None, None, {MEAN: 3.0})
