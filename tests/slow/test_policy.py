"""The policy of the tiny model: what it reads, writes, scores and never samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import vlm_batches

from rftkit.data.examples import load_examples
from rftkit.models import open_for_inference
from rftkit.models.policy import Decoding, Policy, Prompt
from rftkit.models.tiny.cache import ensure_tiny
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.shared_prefix import attention, decoding
from rftkit.tasks import get_task

pytestmark = pytest.mark.slow

TEXT = '[model]\nname="tiny"\nload_in_4bit=false\n[data]\nsource="digits"\nshots=2\n'


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse_recipe(TEXT, "test")


@pytest.fixture(scope="module")
def policy(recipe: Recipe) -> Policy:
    return open_for_inference(recipe.model)


@pytest.fixture(scope="module")
def prompts(recipe: Recipe) -> list[Prompt]:
    task = get_task(recipe.task)
    examples = load_examples(recipe, "test", limit=12).examples
    return [Prompt(e.image, task.prompt(e, recipe.style)) for e in examples]


def test_replies_do_not_depend_on_the_batch(policy: Policy, prompts: list[Prompt]) -> None:
    greedy = Decoding(32)
    together = policy.generate(prompts, greedy).completions
    alone = [policy.generate([prompt], greedy).completions[0] for prompt in prompts]
    assert together == alone


def test_replies_do_not_depend_on_where_a_trainer_has_the_tokenizer_pad(
    policy: Policy, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    unequal = [prompts[0], Prompt(prompts[0].image, prompts[0].text + " Take your time." * 4)]
    expected = policy.generate(unequal, Decoding(16)).completions
    monkeypatch.setattr(policy.processor.tokenizer, "padding_side", "right")  # as Unsloth's do
    assert policy.generate(unequal, Decoding(16)).completions == expected


def test_a_image_is_seen_once_however_much_is_asked_of_it(
    recipe: Recipe, policy: Policy, prompts: list[Prompt]
) -> None:
    fresh = open_for_inference(recipe.model)
    fresh.score(prompts[1:2], [["3", "8"]])  # the first list is computed plainly too
    seen: list[int] = []
    encoder = fresh.model.model.visual
    encoder.register_forward_hook(lambda *given: seen.append(1))
    two = [replace(prompts[0], text=f"{prompts[0].text} {word}") for word in ("", "Quick.")]
    found = fresh.generate(two, Decoding(8)).completions
    assert found == policy.generate(two, Decoding(8)).completions
    fresh.score(two, [["3", "8"], ["3", "8"]])
    assert len(seen) == 1


def test_sampling_is_seeded_and_has_no_special_tokens(
    policy: Policy, prompts: list[Prompt]
) -> None:
    hot = Decoding(24, temperature=3.0, seed=5)
    first = policy.generate(prompts, hot).completions
    assert first == policy.generate(prompts, hot).completions
    assert first != policy.generate(prompts, Decoding(24, temperature=3.0, seed=6)).completions
    assert not any("<|" in made.text for made in first)


def test_what_ends_a_reply_is_not_looked_up_for_every_token(
    policy: Policy, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, own = list[int](), type(policy).stop_ids
    monkeypatch.setattr(type(policy), "stop_ids", lambda self: looked.append(1) or own(self))
    policy.generate(prompts[:2], Decoding(16))
    assert len(looked) == 4  # what ends and what is banned, and one for each reply


def test_a_budget_of_two_tokens_cuts_the_reply_off(policy: Policy, prompts: list[Prompt]) -> None:
    made = policy.generate(prompts[:3], Decoding(2)).completions
    assert [(c.tokens, c.finished) for c in made] == [(2, False)] * 3


def test_scores_are_the_log_probabilities_of_a_plain_forward(
    policy: Policy, prompts: list[Prompt]
) -> None:
    answers = ["3", "<think>two loops</think>\n<answer>8</answer>"]
    found = policy.score(prompts[:1], [answers])[0]
    assert found == pytest.approx([_by_hand(policy, prompts[0], a) for a in answers], abs=1e-4)


def test_lists_are_scored_by_a_row_for_each_answer_where_sharing_is_wrong(
    recipe: Recipe, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention by which every answer sees those before it, as a kernel that ignores masks has."""
    answers = [["one stroke, leaning", "two loops, one above the other", "a hook"]] * 2
    policy: Any = open_for_inference(recipe.model)
    right = policy.score(prompts[:2], answers)
    monkeypatch.setattr(attention, "_attend_row", vlm_batches.leaky)
    again: Any = open_for_inference(recipe.model)
    found = again.score(prompts[:2], answers)
    assert found == [pytest.approx(row, abs=2e-3) for row in right]
    assert (policy.shares, again.shares) == (True, False)


def test_replies_are_written_where_prompts_cannot_be_shared(
    recipe: Recipe, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy: Any = open_for_inference(recipe.model)
    right = policy.generate([prompts[0]] * 2, Decoding(8)).completions

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(decoding, "grow_in_blocks", broken)
    assert policy.generate([prompts[0]] * 2, Decoding(8)).completions == right
    assert not policy.shares


def _by_hand(policy: Any, prompt: Prompt, answer: str) -> float:
    """Log-probability token by token, without padding or batching."""
    processor = policy.processor
    inputs = processor(
        text=[policy.render(prompt)], images=[[prompt.image.open()]], return_tensors="pt"
    )
    ids = processor.tokenizer(answer + processor.tokenizer.eos_token, return_tensors="pt")
    wanted = ids["input_ids"]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], wanted], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    zeros = torch.zeros_like(wanted)
    inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], zeros], 1)
    with torch.no_grad():
        logits = policy.model.eval()(**inputs).logits[0]
    start = inputs["input_ids"].shape[1] - wanted.shape[1]
    log = logits.log_softmax(-1)
    return sum(float(log[start + i - 1, token]) for i, token in enumerate(wanted[0]))


def test_trl_reads_the_prompt_that_evaluation_reads(policy: Any, prompts: list[Prompt]) -> None:
    from trl.data_utils import prepare_multimodal_messages

    prompt = prompts[0]
    message = [{"role": "user", "content": prompt.text}]
    theirs = policy.processor.apply_chat_template(
        [prepare_multimodal_messages(message, images=[prompt.image.open()])],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )["input_ids"][0]
    ours = policy.processor(text=[policy.render(prompt)], images=[[prompt.image.open()]])
    assert list(theirs) == list(ours["input_ids"][0])


def test_sft_trains_on_the_reply_and_its_end_only(
    policy: Any, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    import trl
    from rich.console import Console

    from rftkit.runs.run import RunFolder
    from rftkit.training import sft
    from rftkit.training.trainer import TrainingJob

    seen: dict[str, Any] = {}

    def look(trainer: Any, job: TrainingJob) -> None:
        seen["batch"] = next(iter(trainer.get_train_dataloader()))

    monkeypatch.setattr(sft, "fit", look)
    assert trl.SFTTrainer is not None
    fresh = open_for_inference(recipe.model)
    examples = load_examples(recipe, "train").examples
    sft.train(
        TrainingJob(recipe, fresh, RunFolder(tmp_path), Console(file=io.StringIO())), examples
    )
    labels = seen["batch"]["labels"]
    task, tokenizer = get_task(recipe.task), policy.processor.tokenizer
    targets = {task.target(example, recipe.style) + "<|im_end|>" for example in examples}
    for row in labels:
        text = tokenizer.decode(row[row != -100])
        assert text.strip() in targets


def test_predict_answers_for_files(
    short_run: Callable[..., Any], recipe: Recipe, tmp_path: Path
) -> None:
    from rich.console import Console

    from rftkit.inference.predict import predict

    run = short_run("method.steps=1", "eval.limit=10")
    example = load_examples(recipe, "test", limit=1).examples[0]
    example.image.open().save(tmp_path / "digit.png")
    found = list(predict(run.folder, [tmp_path / "digit.png"], Console(quiet=True)))
    assert [f.record()["answer"] in list("0123456789") for f in found] == [True]
    assert found[0].record()["reasoning"]


def test_the_code_in_an_adapters_readme_answers_as_rftkit_does(
    short_run: Callable[..., Any],
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a place with torchvision; here rftkit's own processor stands in for AutoProcessor's."""
    import transformers
    from rich.console import Console

    from rftkit.inference.predict import Answering, predict
    from rftkit.models.processing.load import load_processor

    run = short_run("method.steps=2", "eval.limit=4")
    text = (run.adapter / "README.md").read_text("utf-8")
    assert "More Information Needed" not in text
    assert "training images | 80" in text
    assert "`0`, `1`" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    base = str(ensure_tiny("tiny"))
    code = code.replace("'tiny', \".\"", f"{base!r}, {str(run.adapter)!r}")
    load_examples(recipe, "test", limit=1).examples[0].image.open().save(tmp_path / "photo.jpg")
    monkeypatch.setattr(transformers, "AutoProcessor", SimpleNamespace(
        from_pretrained=lambda name: load_processor(name, recipe.model.max_pixels)))  # fmt: skip
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(code, {})
    told = capsys.readouterr().out
    (found,) = predict(run.folder, [Path("photo.jpg")], Console(quiet=True), Answering(free=True))
    assert told == found.attempt.completion.text + "\n"
