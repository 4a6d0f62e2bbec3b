"""Temperatures from a policy that replays texts, in every style."""

from __future__ import annotations

import math
from collections.abc import Sequence

import fakes
import pytest

from rftkit.core import Completion, Example, Style
from rftkit.models.policy import Prompt
from rftkit.training.held_out.calibration import calibrated

LABELS = ("cat", "dog")


class Sure(fakes.FakePolicy):
    """Tuned gives cat 95 %, base 60 %; what it was asked is kept."""

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        self.prompts += prompts
        self.scored += [p.prefill + text for p, row in zip(prompts, answers, strict=True)
                        for text in row]  # fmt: skip
        sure = 0.95 if self.tuned else 0.6
        return [[math.log(sure), math.log(1 - sure)] for _ in prompts]


def examples(right: int, n: int) -> list[Example]:
    return [
        Example(str(k), fakes.BlankImage(str(k)), "What?", "cat" if k < right else "dog", LABELS)
        for k in range(n)
    ]


def test_a_model_that_is_too_sure_is_cooled_down_and_the_base_apart() -> None:
    policy = Sure(fakes.never)
    found = calibrated(policy, fakes.recipe(style="direct"), examples(14, 20), "split")
    assert found is not None
    assert 0.5 < found.temperatures.base < 1
    assert found.temperatures.tuned > 2
    assert found.origin == "split"
    assert [one.right for one in found.answers] == [True] * 14 + [False] * 6
    assert found.answers[0].confidence == pytest.approx(14.05 / 21, abs=0.03)
    assert policy.scored[:2] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("style", "text", "before"),
    [
        ("think", "<think>so</think>\n<answer>dog</answer>", "<think>so</think>\n"),
        ("adaptive", "<ANSWER>dog</answer>", ""),
        ("answer-first", "<answer>dog</answer>\n<reason>so</reason>", ""),
    ],
)
def test_labels_follow_the_reasoning_that_was_written(style: Style, text: str, before: str) -> None:
    policy = Sure(lambda *_: Completion(text, 9))
    found = calibrated(policy, fakes.recipe(style=style), examples(2, 3), "fold")
    assert found is not None
    assert [one.right for one in found.answers] == [True, True, False]  # by list, not as written
    assert {*policy.scored} == {f"{before}<answer>{label}</answer>" for label in ("cat", "dog")}


def test_a_reply_without_an_answer_is_scored_at_its_beginning() -> None:
    mute = Sure(lambda *_: Completion("no idea", 9))
    calibrated(mute, fakes.recipe(), examples(1, 2), "fold")
    assert {*mute.scored} == {"<answer>cat</answer>", "<answer>dog</answer>"}


def test_numbers_of_a_range_are_a_list() -> None:
    policy = Sure(fakes.never)
    counting = fakes.recipe(task="number", style="direct", options={"range": [3, 4]},
                            data={"source": "jsonl", "path": "p"})  # fmt: skip
    asked = [Example(str(k), fakes.BlankImage(str(k)), "How many?", "3") for k in range(2)]
    found = calibrated(policy, counting, asked, "fold")
    assert found is not None
    assert policy.scored[:2] == ["3", "4"]
    assert [one.right for one in found.answers] == [True, True]
