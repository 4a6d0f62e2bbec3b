"""Log-probabilities of the answers of a closed list, after what a reply wrote before its answer.

style direct     prompt | rose                       prompt | tulip
the others       prompt, <think> … </think> | <answer>rose</answer>
                                            | <answer>tulip</answer>
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from rftkit.answers import replies
from rftkit.core import Style
from rftkit.models.policy import Prompt

OPENING, CLOSING = "<answer>", "</answer>"

Spellings = Mapping[str, Sequence[str]]  # answer -> how it may be written


class ListModel(Protocol):
    """A model whose lists are scored: any `AnswerModel`, and what a served model tells."""

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer. ended: followed by the end of the turn."""


def list_scores(
    policy: ListModel,
    prompts: Sequence[Prompt],
    lists: Sequence[Spellings],
    style: Style,
    written: Sequence[str] = (),
) -> list[dict[str, float]]:
    """For each prompt: answer -> log-probability, in nats, that it is given in any spelling.

    written: whole replies to the prompts, whose reasoning comes before each answer; without them,
    or where one has no answer block, answers come first. A direct answer is closed by the end of
    the turn, the others by that of their block.
    """
    texts = written or ["" for _ in prompts]
    asked = [
        replace(prompt, prefill=before(text, style))
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    spelled = [[text for names in one.values() for text in names] for one in lists]
    answers = [[text if style == "direct" else block(text) for text in row] for row in spelled]
    if style == "answer-first":  # a reason follows, so the turn does not end here
        scores = policy.score(asked, answers, ended=False)
    else:
        scores = policy.score(asked, answers)
    return [_by_answer(one, values) for one, values in zip(lists, scores, strict=True)]


def before(text: str, style: Style) -> str:
    """What of a reply comes before its answer; the style's own prefix where it has no answer.

    >>> before("<think>thorns</think><answer>rose</answer>", "think")
    '<think>thorns</think>'
    """
    start = -1 if style == "direct" else text.lower().rfind(OPENING)
    return replies.prefill(style) if start < 0 else text[:start]


def block(text: str) -> str:
    """The answer block of a reply."""
    return f"{OPENING}{text}{CLOSING}"


def _by_answer(spellings: Spellings, values: Sequence[float]) -> dict[str, float]:
    left = iter(values)
    return {answer: _together([next(left) for _ in names]) for answer, names in spellings.items()}


def _together(logps: Sequence[float]) -> float:
    """log Σ exp, of log-probabilities."""
    highest = max(logps)
    return highest + math.log(sum(math.exp(one - highest) for one in logps))
