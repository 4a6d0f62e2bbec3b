"""Rollouts by vLLM: prompts with one placeholder for each image, and the engine's settings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from trl.generation import vllm_generation

from rftkit.errors import ModelError, RecipeError, TrainingError
from rftkit.hardware import backends
from rftkit.hardware.backends import engine_room
from rftkit.hardware.prompt_size import largest_prompt
from rftkit.models.processing.still import StillQwen25VLProcessor
from rftkit.models.tiny.tokenizer import train_tokenizer
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task
from rftkit.training import grpo
from rftkit.training.paths.vllm_rollouts import engine_like, with_plain_prompts
from rftkit.training.trainer import TrainingJob


def processor() -> Any:
    tokenizer = train_tokenizer(["how many wheels has it"], 300)
    limits = {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    images = Qwen2VLImageProcessorPil(size=limits, patch_size=14, merge_size=2)
    return StillQwen25VLProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


class Trainer:
    """As much of TRL's trainer as tokenizes and asks for completions; keeps what it asked for."""

    chat_template = None

    def __init__(self) -> None:
        self.chat_template_kwargs = dict[str, Any]()
        self.processing_class, self.asked = processor(), dict[str, Any]()

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        done = self.processing_class.apply_chat_template(
            prompts, add_generation_prompt=True, tokenize=True, return_dict=True
        )
        return done["input_ids"], ["an image", "two"], {}

    def _generate_single_turn(self, prompt_ids: Any, images: Any, fields: Any, n: int) -> Any:
        self.asked = {"ids": prompt_ids, "images": images, "n": n}
        return "completions"


def turn(*widths: int) -> list[dict[str, Any]]:
    shown = [{"type": "image", "image": Image.new("RGB", (width, 56))} for width in widths]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": "how many"}]}]


def test_vllm_is_given_one_placeholder_for_each_image() -> None:
    trainer = with_plain_prompts(Trainer)()
    assert type(trainer).__name__ == "PlainPromptTrainer"
    ids, images, fields = trainer._tokenize_prompts([turn(56), turn(112, 84)])
    assert trainer._generate_single_turn(ids, images, fields, 2) == "completions"
    pad = trainer.processing_class.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert [row.count(pad) for row in ids] == [4, 8 + 6]
    assert [row.count(pad) for row in trainer.asked["ids"]] == [1, 2]
    for plain, whole in zip(trainer.asked["ids"], ids, strict=True):
        assert [i for i in plain if i != pad] == [i for i in whole if i != pad]
    assert (trainer.asked["images"], trainer.asked["n"]) == (["an image", "two"], 2)


def test_the_engine_shrinks_images_as_the_trainer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(**given: Any) -> Any:
        return SimpleNamespace(**given)

    monkeypatch.setattr(vllm_generation, "LLM", engine, raising=False)
    with engine_like(processor()):
        built = vllm_generation.LLM(model="here")
    assert built.model == "here"
    assert built.mm_processor_kwargs == {
        "size": {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    }
    assert built.limit_mm_per_prompt["video"] == 0
    assert built.dtype == "float32"  # a machine without a GPU
    assert vllm_generation.LLM is engine


@pytest.mark.parametrize("error", [RuntimeError("No available memory\nmore"), ValueError()])
def test_an_engine_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def engine(**_: Any) -> Any:
        raise error

    monkeypatch.setattr(vllm_generation, "LLM", engine, raising=False)
    refused = r"^model.generation: vLLM does not start \(.+\); see"
    with engine_like(processor()), pytest.raises(ModelError, match=refused) as caught:
        vllm_generation.LLM()
    assert caught.value.__cause__ is error
    assert vllm_generation.LLM is engine, "put back"


@pytest.mark.parametrize("error", [
    ValueError("Free memory on device (3.1/15.8 GiB) on startup is less than desired GPU memory"),
    ValueError("No available memory for the cache blocks."),
    torch.OutOfMemoryError("CUDA out of memory"),
])  # fmt: skip
def test_an_engine_without_room_says_what_makes_room(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def engine(**_: Any) -> Any:
        raise error

    monkeypatch.setattr(vllm_generation, "LLM", engine, raising=False)
    named = r"ran out of memory while starting vLLM \(.+model\.generation=transformers$"
    with engine_like(processor()), pytest.raises(TrainingError, match=named):
        vllm_generation.LLM()


def test_an_error_of_trls_own_while_the_engine_is_at_hand_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_generation, "LLM", dict, raising=False)
    with pytest.raises(ValueError, match="generation_batch_size"), engine_like(processor()):
        raise ValueError("generation_batch_size must be divisible by num_generations")


def test_the_engine_is_set_within_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_generation, "LLM", dict, raising=False)
    with engine_like(processor()):
        before = vllm_generation.LLM
        with engine_like(processor()):
            assert vllm_generation.LLM(model="here")["dtype"] == "float32"
        assert vllm_generation.LLM is before
    assert vllm_generation.LLM is dict


def test_without_vllm_the_trainer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(vllm_generation, "LLM", raising=False)
    with (
        pytest.raises(ModelError, match="vLLM is not installed, or TRL cannot use its version"),
        engine_like(processor()),
    ):
        pass


@pytest.mark.parametrize(("tokens", "refused"), [(20, False), (10_000, True)])
def test_a_prompt_that_vllm_has_no_room_for_is_refused_before_training(
    tokens: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its room follows an estimate, and a tokenizer may count more."""
    monkeypatch.setattr(backends, "here", lambda: backends.Here(vllm=True))
    recipe = parse_recipe(
        '[data]\nsource = "digits"\n',
        "test",
        ["model.generation=vllm", "model.backend=transformers", "model.load_in_4bit=false"],
    )
    policy: Any = SimpleNamespace(
        banned_ids=lambda: [7], count_tokens=lambda text: tokens, generation="vllm"
    )
    job = TrainingJob(recipe, policy, RunFolder(tmp_path), Console(quiet=True))
    sample = get_task("classification").sample
    if refused:
        with pytest.raises(RecipeError, match="a prompt of 10000 tokens was estimated at"):
            grpo._vllm_settings(job, [sample])
    else:
        found = grpo._vllm_settings(job, [sample])
        room = engine_room(recipe, backends.here(), largest_prompt(recipe, [sample]))
        assert found["vllm_max_model_length"] == room.longest
        policy.generation = "transformers"
        assert grpo._vllm_settings(job, [sample]) == {}
