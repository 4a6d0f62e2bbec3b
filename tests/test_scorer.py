"""Rewards as TRL calls them: weights, samples kept, the guard against a cold start."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import fakes
import pytest
from rich.console import Console

from rftkit import runs
from rftkit.core import Example
from rftkit.errors import TrainingError
from rftkit.recipe import Recipe
from rftkit.runs import Run
from rftkit.scorer import Scorer, checked
from rftkit.tasks import by_name

STOP = 0
GOOD = "<think>two ears</think><answer>cat</answer>"
SHAPELESS = "It is a cat: <answer>cat</answer>"
WRONG = "<think>two ears</think><answer>dog</answer>"


def scorer_of(folder: Path, recipe: Recipe) -> Scorer:
    examples = [
        Example(name, fakes.BlankPicture(name), "Which?", gold, ("cat", "dog"), ("cat", "dog"))
        for name, gold in (("a.png", "cat"), ("b.png", "dog"))
    ]
    console = Console(file=io.StringIO(), width=500, force_terminal=False)
    return Scorer(recipe, examples, [STOP], Run(folder), console)


def call(
    scorer: Scorer, texts: list[str], index: list[int], step: int = 0, cut: bool = False
) -> dict[str, list[float]]:
    """What TRL does: every function in turn, on the same completions."""
    return {
        function.__name__: function(
            prompts=[[{"role": "user", "content": "Which?"}] for _ in texts],
            completions=[[{"role": "assistant", "content": text}] for text in texts],
            completion_ids=[[5, 6] if cut else [5, 6, STOP] for _ in texts],
            index=index,
            trainer_state=SimpleNamespace(global_step=step),
            image=[None for _ in texts],
        )
        for function in scorer.functions()
    }


def shown(scorer: Scorer) -> str:
    assert isinstance(scorer.console.file, io.StringIO)
    return scorer.console.file.getvalue()


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
    scorer = scorer_of(tmp_path, fakes.recipe(run={"save_every": 3}))
    for step in range(7):
        call(scorer, [GOOD, WRONG], [0, 0], step)
    kept = runs.read_lines(tmp_path / "samples.jsonl")
    assert [record["step"] for record in kept] == [1, 3, 6]
    prompt = by_name("classification").prompt(scorer.examples[0], "think")
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
    assert runs.read_lines(tmp_path / "samples.jsonl")[0]["text"] == "[red]\x1b[2J[/blue]\x07"


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
        assert "method.kind=sft" in shown(scorer)
        assert "method.group_size" in shown(scorer)
    else:
        assert "Cold start" not in shown(scorer)


def test_the_guard_looks_at_the_first_batch_only(tmp_path: Path) -> None:
    later = scorer_of(tmp_path / "resumed", fakes.recipe(method={"group_size": 2}))
    later.run.folder.mkdir()
    call(later, [WRONG, WRONG], [0, 0], step=25)
    assert "Cold start" not in shown(later)
    warm = scorer_of(tmp_path, fakes.recipe(method={"group_size": 2}))
    call(warm, [GOOD, WRONG], [0, 0], step=0)
    call(warm, [WRONG, WRONG], [0, 0], step=1)
    assert "Cold start" not in shown(warm)
