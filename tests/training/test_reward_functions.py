"""Rewards as TRL calls them: weights, samples kept, the guard against a cold start."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import fakes
import pytest
from rich.console import Console

from rftkit import files
from rftkit.answers import boxes
from rftkit.answers.boxes import Box
from rftkit.core import Example
from rftkit.errors import RecipeError, TrainingError
from rftkit.recipe.schema import Recipe
from rftkit.rewards.length import Length, LengthReward
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task
from rftkit.training.reward_functions import RolloutLog, Scorer, checked

STOP = 0
STEPS = 11
GOOD = "<think>two ears</think><answer>cat</answer>"
SHAPELESS = "It is a cat: <answer>cat</answer>"
WRONG = "<think>two ears</think><answer>dog</answer>"


def scorer_of(
    folder: Path,
    recipe: Recipe,
    save_every: int = 25,
    examples: Sequence[Example] = (),
    length: LengthReward | None = None,
) -> Scorer:
    examples = examples or [
        Example(name, fakes.BlankImage(name), "Which?", gold, ("cat", "dog"), ("cat", "dog"))
        for name, gold in (("a.png", "cat"), ("b.png", "dog"))
    ]
    console = Console(file=io.StringIO(), width=500, force_terminal=False)
    log = RolloutLog(RunFolder(folder).rollouts, console, save_every)
    return Scorer(recipe, examples, [STOP], log, length)


def call(
    scorer: Scorer,
    texts: list[str],
    index: list[int],
    step: int = 0,
    cut: bool = False,
    ids: list[list[int]] | None = None,
) -> dict[str, list[float]]:
    """What TRL does: every function in turn, on the same completions."""
    ids = ids or [[5, 6] if cut else [5, 6, STOP] for _ in texts]
    return {
        function.__name__: function(
            prompts=[[{"role": "user", "content": "Which?"}] for _ in texts],
            completions=[[{"role": "assistant", "content": text}] for text in texts],
            completion_ids=ids,
            index=index,
            trainer_state=SimpleNamespace(global_step=step, max_steps=STEPS),
            image=[None for _ in texts],
        )
        for function in scorer.functions()
    }


def shown(scorer: Scorer) -> str:
    assert isinstance(scorer.log.console.file, io.StringIO)
    return scorer.log.console.file.getvalue()


def test_each_reward_is_a_function_of_its_name(tmp_path: Path) -> None:
    scorer = scorer_of(
        tmp_path, fakes.recipe(rewards={"accuracy": 2.0, "format": 1, "no_repetition": 0.5})
    )
    values = call(scorer, [GOOD, SHAPELESS, WRONG, GOOD], [0, 0, 0, 1])
    assert values["accuracy"] == [1.0, 1.0, 0.0, 0.0]
    assert values["format"] == [1.0, 0.0, 1.0, 1.0]
    assert values["no_repetition"] == [1.0, 1.0, 1.0, 1.0]
    assert list(scorer.weights.items()) == [
        ("accuracy", 2.0),
        ("format", 1),
        ("no_repetition", 0.5),
    ]


def test_a_direct_reply_has_no_format_to_reward(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, fakes.recipe(style="direct"))
    assert call(scorer, ["cat", "dog"], [0, 0]) == {"accuracy": [1.0, 0.0]}
    assert scorer.weights == {"accuracy": 1.0}


def test_the_papers_rules_are_used_if_asked_for(tmp_path: Path) -> None:
    spaced = "<think> a </think>  <answer>cat</answer> "  # the papers' code wants nothing outside
    strict = call(scorer_of(tmp_path, fakes.recipe()), [spaced], [0])
    paper = call(scorer_of(tmp_path, fakes.recipe(rules="paper")), [spaced], [0])
    assert (strict["format"], paper["format"]) == ([1.0], [0.0])


def test_plain_text_completions_are_read_too(tmp_path: Path) -> None:
    attempts = scorer_of(tmp_path, fakes.recipe()).attempts([GOOD], [[5, STOP]], [0])
    assert attempts[0].completion.text == GOOD
    assert attempts[0].completion.tokens == 2


def test_a_completion_that_was_cut_off_has_no_format(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, fakes.recipe())
    assert call(scorer, [GOOD], [0], cut=True)["format"] == [0.0]
    assert not scorer.attempts([GOOD], [[]], [0])[0].completion.finished


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_reward_that_is_not_finite_stops_the_run(value: float) -> None:
    with pytest.raises(
        TrainingError, match=r"rewards\.no_repetition: returned .*; a reward must be"
    ):
        checked("no_repetition", value)
    assert checked("no_repetition", 0.5) == 0.5


def test_a_sample_is_kept_and_shown_now_and_then(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, fakes.recipe(), save_every=3)
    for step in range(7):
        call(scorer, [GOOD, WRONG], [0, 0], step)
    kept = files.read_lines(tmp_path / "rollouts.jsonl")
    assert [record["step"] for record in kept] == [1, 3, 6]
    prompt = get_task("classification").prompt(scorer.examples[0], "think")
    assert kept[0] == {
        "step": 1,
        "id": "a.png",
        "prompt": prompt,
        "text": WRONG,
        "gold": "cat",
        "rewards": {"accuracy": 0.0, "format": 1.0},
    }
    assert kept[2]["text"] == GOOD
    assert "step 6 a.png  gold cat" in shown(scorer)
    assert prompt[-20:].strip() in shown(scorer)
    assert "accuracy 0, format 1" in shown(scorer)


def test_what_a_model_writes_steers_neither_markup_nor_terminal(tmp_path: Path) -> None:
    scorer = scorer_of(tmp_path, fakes.recipe())
    call(scorer, ["[red]\x1b[2J[/blue]\x07"], [0])
    assert "[red]\\x1b[2J[/blue]\\x07" in shown(scorer)
    assert files.read_lines(tmp_path / "rollouts.jsonl")[0]["text"] == "[red]\x1b[2J[/blue]\x07"


GUARDED = [  # completions of the first step in groups of two, what is said
    ([WRONG, SHAPELESS.replace("cat", "dog"), GOOD, SHAPELESS], "earned no accuracy at all"),
    ([GOOD, GOOD, WRONG, WRONG], "every group of completions earned the same reward"),
    ([GOOD, WRONG, GOOD, GOOD], ""),
    ([GOOD, SHAPELESS, GOOD, GOOD], ""),
]


@pytest.mark.parametrize(("texts", "said"), GUARDED)
def test_a_cold_start_is_said_with_what_to_try(tmp_path: Path, texts: list[str], said: str) -> None:
    scorer = scorer_of(tmp_path, fakes.recipe(method={"group_size": 2}))
    call(scorer, texts, [0, 0, 1, 1])
    if said:
        assert said in shown(scorer)
        assert "Cold start:" in shown(scorer)
        assert "method.warmup.steps=20" in shown(scorer)
        assert "method.group_size" in shown(scorer)
    else:
        assert "Cold start" not in shown(scorer)


def test_the_guard_looks_at_the_first_batch_only(tmp_path: Path) -> None:
    later = scorer_of(tmp_path / "resumed", fakes.recipe(method={"group_size": 2}))
    later.log.file.parent.mkdir()
    call(later, [WRONG, WRONG], [0, 0], step=25)
    assert "Cold start" not in shown(later)
    warm = scorer_of(tmp_path, fakes.recipe(method={"group_size": 2}))
    call(warm, [GOOD, WRONG], [0, 0], step=0)
    call(warm, [WRONG, WRONG], [0, 0], step=1)
    assert "Cold start" not in shown(warm)


def grounded() -> list[Example]:
    gold = boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4)])
    return [Example("a.png", fakes.BlankImage("a.png"), "Where is the cat?", gold)]


@pytest.mark.parametrize(("threshold", "paid"), [
    ([0.4, 0.8], [0.6, 0.6, 0.0, 0.0]),  # 0.4, 0.56, 0.64, 0.8 at these steps
    ([0.8, 0.4], [0.0, 0.0, 0.6, 0.6]),
    (0.5, [0.6, 0.6, 0.6, 0.6]),
    (0.7, [0.0, 0.0, 0.0, 0.0]),
])  # fmt: skip
def test_a_threshold_follows_the_steps_of_the_run(
    tmp_path: Path, threshold: object, paid: list[float]
) -> None:
    recipe = Recipe.model_validate({
        "task": "grounding", "style": "direct", "data": {"source": "refs", "path": "x"},
        "options": {"threshold": threshold},
    })  # fmt: skip
    scorer = scorer_of(tmp_path, recipe, examples=grounded())
    answer = "(100,200),(220,400)"  # three fifths of the gold box
    found = [call(scorer, [answer], [0], step)["iou"][0] for step in (0, 4, 6, STEPS - 1)]
    assert found == pytest.approx(paid)


def test_a_threshold_never_changes_what_evaluation_reports(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({
        "task": "grounding", "data": {"source": "refs", "path": "x"}, "options": {"threshold": 1},
    })  # fmt: skip
    scorer = scorer_of(tmp_path, recipe, examples=grounded())
    (attempt,) = scorer.attempts(["<answer>(100,200),(220,400)</answer>"], [[5, STOP]], [0])
    assert scorer.task.rewards_of(attempt)["iou"] == pytest.approx(0.6)


OPEN, CLOSE, ANSWER, WORD = 1, 2, 3, 9
PIECES = {OPEN: "<think>", CLOSE: "</think>", ANSWER: "<answer>cat</answer>", WORD: "so ", STOP: ""}


def thought(words: int, answer: str = "cat") -> tuple[str, list[int]]:
    """A completion that thinks for so many tokens, and its ids."""
    ids = [OPEN, *[WORD] * words, CLOSE, ANSWER, STOP]
    text = "".join(PIECES[number] for number in ids)
    return text.replace(">cat<", f">{answer}<"), ids


def measuring(folder: Path, target: float = 4.0, **length: object) -> Scorer:
    settings = {"kind": "window", "window": [3, 5], "weight": 0.25, **length}
    given = {"length": {"target": 4, **settings}, "group_size": 3, "batch_size": 2}
    recipe = fakes.recipe(method=given, rewards={"format": 1.0, "accuracy": 2.0})
    assert isinstance(recipe.method.length, Length)

    def decode(ids: Sequence[int]) -> str:
        return "".join(PIECES[number] for number in ids)

    return scorer_of(folder, recipe, length=LengthReward(recipe.method.length, target, decode))


def lengths(scorer: Scorer, *made: tuple[str, list[int]]) -> list[float]:
    texts, ids = [text for text, _ in made], [ids for _, ids in made]
    return call(scorer, texts, [0, 0, 0, 1, 1, 1][: len(made)], ids=ids)["length"]


def test_length_is_one_more_reward_with_its_own_weight(tmp_path: Path) -> None:
    scorer = measuring(tmp_path)
    assert [f.__name__ for f in scorer.functions()] == ["format", "accuracy", "length"]
    assert scorer.all_weights() == [1.0, 2.0, 0.25]
    assert scorer_of(tmp_path, fakes.recipe()).all_weights() == [1.0, 1.0]


def test_length_pays_right_answers_group_by_group(tmp_path: Path) -> None:
    first = [thought(4), thought(9), thought(4, "dog")]  # right, too long, wrong
    second = [thought(4, "dog"), thought(4, "dog"), thought(5, "dog")]  # all right and alike
    assert lengths(measuring(tmp_path), *first, *second) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    mixed = [thought(4, "dog"), thought(1, "dog"), thought(4)]
    assert lengths(measuring(tmp_path), *mixed, *first) == [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(("gate", "paid"), [
    ("none", [1.0, 1.0, 0.0]), ("correct", [1.0, 0.0, 0.0]), ("format", [1.0, 1.0, 0.0]),
])  # fmt: skip
def test_the_gate_says_whose_length_is_paid(tmp_path: Path, gate: str, paid: list[float]) -> None:
    made = [thought(4), thought(4, "dog"), thought(9)]
    assert lengths(measuring(tmp_path, gate=gate), *made) == paid


def test_a_right_answer_without_shape_passes_one_gate_only(tmp_path: Path) -> None:
    text, ids = thought(4)
    made = [(f"{text} indeed", ids), thought(9), thought(9)]
    assert lengths(measuring(tmp_path, gate="format"), *made) == [0.0, 0.0, 0.0]
    assert lengths(measuring(tmp_path, gate="correct"), *made) == [1.0, 0.0, 0.0]


def test_an_own_reward_is_paid_by_its_short_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def brief(attempt): return 1 / attempt.completion.tokens\n"
        "def endless(attempt): return float('inf')\n"
    )
    name = f"{tmp_path}/mine.py:brief"
    scorer = scorer_of(tmp_path, fakes.recipe(rewards={"accuracy": 1.0, name: 0.5}))
    assert call(scorer, [GOOD, WRONG], [0, 0]) == {
        "accuracy": [1.0, 0.0],
        "brief": pytest.approx([1 / 3, 1 / 3]),
    }
    assert scorer.all_weights() == [1.0, 0.5]
    assert files.read_lines(tmp_path / "rollouts.jsonl")[0]["rewards"]["brief"] == 1 / 3
    endless = name.replace("brief", "endless")
    scorer = scorer_of(tmp_path, fakes.recipe(rewards={"accuracy": 1.0, endless: 0.5}))
    with pytest.raises(TrainingError, match=r"mine\.py:endless: returned inf"):
        call(scorer, [GOOD], [0], step=1)
    with pytest.raises(RecipeError, match="no file"):
        scorer_of(tmp_path, fakes.recipe(rewards={f"{tmp_path}/none.py:x": 1.0}))
