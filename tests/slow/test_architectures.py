"""Each declared architecture, and one that is not, trains and is evaluated by the command line."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_architectures import ARCHITECTURES, UNDECLARED, make
from typer.testing import CliRunner

from rftkit.cli.main import app
from rftkit.data.examples import load_examples
from rftkit.models import loading, open_for_inference
from rftkit.models.policy import Decoding, Prompt, prompt_of
from rftkit.models.processing.load import load_processor
from rftkit.models.processing.template import special_tokens
from rftkit.recipe.toml import parse_recipe
from rftkit.tasks import get_task

pytestmark = pytest.mark.slow
RECIPE = """
style = "direct"
[model]
name = {name!r}
load_in_4bit = false
[data]
source = "digits"
[method]
kind = {kind!r}
steps = 2
learning_rate = 1e-2
batch_size = 2
group_size = 4
max_new_tokens = 6
[method.exact]
[eval]
limit = 4
"""
SENSES = ("visual", "vision", "projector", "connector", "audio")
SHARING = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "internvl", "llava_onevision"}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cache(lambda kind: make(tmp_path_factory.mktemp(kind) / "model", kind))


def recipe_of(folder: Path, kind: str = "sft") -> str:
    text = RECIPE.format(name=str(folder), kind=kind)
    return text if kind == "exact" else text.replace("[method.exact]\n", "")


@pytest.mark.parametrize("kind", [*ARCHITECTURES, *UNDECLARED])
def test_two_steps_of_each_method_and_an_evaluation(
    kind: str, folder_of: Any, tmp_path: Path
) -> None:
    for method in ("grpo", "sft", "exact"):
        recipe, out = tmp_path / f"{method}.toml", tmp_path / method
        recipe.write_text(recipe_of(folder_of(kind), method), "utf-8")
        done = CliRunner().invoke(app, ["train", str(recipe), "--out", str(out), "--quiet"])
        assert done.exit_code == 0, (method, done.output, done.exception)
        lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line)["step"] for line in lines if '"loss"' in line] == [1, 2]
        adapter = load_file(out / "adapter" / "adapter_model.safetensors")
        assert not [name for name in adapter if any(part in name for part in SENSES)]
        learnt = [name for name, w in adapter.items() if "lora_B" in name and w.abs().max() > 0]
        assert bool(learnt) == (method != "grpo"), "noise earns nothing: no group has an advantage"
        effective = json.loads((out / "effective.json").read_text("utf-8"))
        assert ("checked shared prefixes" in effective) == (method != "sft" and kind in SHARING)
        summary = json.loads((out / "eval/test/summary.json").read_text("utf-8"))
        assert summary["base"]["n"] == summary["tuned"]["n"] == 4


@pytest.mark.parametrize("kind", [*ARCHITECTURES, *UNDECLARED])
def test_answers_are_scored_as_by_a_forward_of_the_whole_text(kind: str, folder_of: Any) -> None:
    """The model's own forward, on what its processor makes of prompt and answer together."""
    recipe = parse_recipe(recipe_of(folder_of(kind)), "r.toml")
    examples = load_examples(recipe, "test").examples[:2]
    policy: Any = open_for_inference(recipe.model)
    prompts = [prompt_of(get_task(recipe.task), example, "direct") for example in examples]
    answers = ["3", "7"]
    scores = policy.score(prompts, [answers] * 2)
    for prompt, row in zip(prompts, scores, strict=True):
        begun = policy.render(prompt)
        for answer, score in zip(answers, row, strict=True):
            whole = begun + answer + policy.processor.tokenizer.eos_token
            inputs = policy.processor(
                text=[whole], images=[[prompt.image.open()]], return_tensors="pt"
            )
            with torch.inference_mode():
                logps = policy.model(**inputs).logits[0].float().log_softmax(-1)
            ids = inputs["input_ids"][0]
            kept = len(policy.answer_ids(answer))
            wanted = logps[-kept - 1 : -1].gather(-1, ids[-kept:, None]).sum()
            assert score == pytest.approx(float(wanted), abs=2e-4)


class Drawn:
    """An image of this size, by name."""

    def __init__(self, width: int, height: int) -> None:
        self.name, self.size = f"{width}x{height}", (width, height)

    def open(self) -> Image.Image:
        noise = np.random.default_rng(self.size).integers(0, 256, (*self.size[::-1], 3), np.uint8)
        return Image.fromarray(noise)


@pytest.mark.parametrize("kind", sorted(SHARING))
def test_prompts_with_several_tiles_are_shared_without_a_difference(
    kind: str, folder_of: Any
) -> None:
    """Other numbers of tiles in one batch, two images in a prompt, an image that comes twice."""
    policy: Any = open_for_inference(parse_recipe(recipe_of(folder_of(kind)), "r.toml").model)
    wide, square, high = Drawn(224, 56), Drawn(56, 56), Drawn(60, 170)
    more = () if kind == "llava_onevision" else (high,)  # which takes one image a prompt
    prompts = [
        Prompt(wide, "What?"), Prompt(square, "Which?", others=more), Prompt(wide, "What?"),
        Prompt(high, "Why?"),
    ]  # fmt: skip
    answers = [[policy.answer_ids(text) for text in ("3", "digit 4")]] * 4
    with torch.inference_mode():
        shared, plain = (policy.answer_logps(prompts, answers, shared=s) for s in (True, False))
        for ours, theirs in zip(shared, plain, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)
    apart = [(shared[0] - shared[n]).abs().max() for n in (1, 3)]
    assert min(apart) > 0.01, "an image that does not matter proves nothing"
    written = policy.generate(prompts, Decoding(5)).completions
    policy.shares = False
    assert policy.generate(prompts, Decoding(5)).completions == written


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_turn_ends_where_the_template_ends_it_and_marks_are_never_written(
    kind: str, folder_of: Any
) -> None:
    policy: Any = open_for_inference(parse_recipe(recipe_of(folder_of(kind)), "r.toml").model)
    tokenizer, wanted = policy.processor.tokenizer, ARCHITECTURES[kind]
    assert tokenizer.eos_token == wanted.end
    assert tokenizer.eos_token_id in policy.stop_ids()
    assert not {*policy.stop_ids()} & {*policy.banned_ids()}
    marks = special_tokens(tokenizer)
    assert {*marks.values()} == {*policy.stop_ids()} | {*policy.banned_ids()}
    assert {wanted.start, *wanted.extra.split()} <= {*marks}
    assert not {"<think>", "</think>", "<answer>"} & {*marks}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_everything_beside_the_language_model_stays_out_of_4_bit(kind: str, folder_of: Any) -> None:
    policy: Any = open_for_inference(parse_recipe(recipe_of(folder_of(kind)), "r.toml").model)
    parts = {name for name, _ in policy.model.base_model.named_children()}
    assert parts - {*loading.UNQUANTISED} <= {"language_model", "text_model"}
    assert parts & {*loading.UNQUANTISED}


def test_qwen35_thinks_by_the_style(folder_of: Any) -> None:
    """Off: an empty thought ends the prompt. On: the reply opens the thought itself."""
    recipe = parse_recipe(recipe_of(folder_of("qwen3_5")), "r.toml")
    (example,) = load_examples(recipe, "test").examples[:1]
    policy: Any = open_for_inference(recipe.model)
    task = get_task(recipe.task)
    for style in ("direct", "answer-first"):
        assert policy.render(prompt_of(task, example, style)).endswith("\n<think>\n\n</think>\n\n")
    for style in ("think", "adaptive"):
        assert policy.render(prompt_of(task, example, style)).endswith("assistant\n")
    empty = policy.render(prompt_of(task, example, "empty-think"))
    assert empty.endswith("assistant\n<think>\n\n</think>\n")


BUDGETS = [
    ("internvl", 401_408, "max_patches", 12),
    ("internvl", 3 * 56**2, "max_patches", 3),
    ("internvl", 784, "max_patches", 1),
    ("gemma4", 280 * 48**2, "max_soft_tokens", 70),
    ("lfm2_vl", 784, "do_image_splitting", False),
    ("lfm2_vl", 5 * 64**2, "max_tiles", 5),
    ("llava_onevision", 56 * 56, "image_grid_pinpoints", [[56, 56]]),
    ("llava_onevision", 56 * 112, "image_grid_pinpoints", [[56, 56], [56, 112], [112, 56]]),
]


@pytest.mark.parametrize(("kind", "budget", "name", "value"), BUDGETS)
def test_the_budget_of_pixels_is_kept(
    kind: str, budget: int, name: str, value: object, folder_of: Any
) -> None:
    images = load_processor(str(folder_of(kind)), budget).image_processor
    assert getattr(images, name) == value
