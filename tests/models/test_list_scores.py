"""Scores of the answers of a list: where they come in a reply, and in which spelling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import fakes
import pytest

from rftkit.core import Completion, Style
from rftkit.models.list_scores import before, list_scores
from rftkit.models.policy import Prompt


class Scoring(fakes.FakePolicy):
    """Every answer has probability 1 / its length; remembers what it was asked."""

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        self.ended = ended
        self.scored += [p.prefill + text for p, row in zip(prompts, answers, strict=True)
                        for text in row]  # fmt: skip
        return [[-math.log(len(text)) for text in row] for row in answers]


def scored(style: Style, written: Sequence[str] = (), **spellings: Sequence[str]) -> Any:
    policy = Scoring(lambda *_: Completion(""))
    prompt = Prompt(fakes.BlankImage("a"), "what?")
    (found,) = list_scores(policy, [prompt], [spellings], style, written)
    return found, policy


def test_a_direct_answer_comes_after_the_prompt_and_ends_the_turn() -> None:
    found, policy = scored("direct", ["anything"], rose=["rose"], oak=["oak"])
    assert policy.scored == ["rose", "oak"]
    assert policy.ended
    assert found == pytest.approx({"rose": -math.log(4), "oak": -math.log(3)})


def test_an_answer_comes_after_the_reasoning_that_was_written() -> None:
    thought = "<think>thorns <Answer></think>"
    _, policy = scored("think", [f"{thought}<answer>tulip</answer>"], rose=["rose"])
    assert policy.scored == [f"{thought}<answer>rose</answer>"]
    _, policy = scored("think", ["<think>and on and on"], rose=["rose"])
    assert policy.scored == ["<answer>rose</answer>"]
    _, policy = scored("empty-think", rose=["rose"])
    assert policy.scored == ["<think>\n\n</think>\n<answer>rose</answer>"]


def test_a_reason_may_follow_an_answer_that_comes_first() -> None:
    _, policy = scored("answer-first", rose=["rose"])
    assert policy.scored == ["<answer>rose</answer>"]
    assert not policy.ended


def test_the_spellings_of_an_answer_are_taken_together() -> None:
    found, _ = scored("direct", cat=["cat", "kitten"], dog=["dog"])
    assert found["cat"] == pytest.approx(math.log(1 / 3 + 1 / 6))
    assert found["dog"] == pytest.approx(math.log(1 / 3))


def test_what_comes_before_an_answer() -> None:
    assert before("<answer>a</answer>", "direct") == ""
    assert before("<think>x</think> <answer>a</answer>", "adaptive") == "<think>x</think> "
