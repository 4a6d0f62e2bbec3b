"""Rewards that any task may use. Each is a pure function of an attempt, in [0, 1]."""

from __future__ import annotations

import re

from rftkit.answers import replies
from rftkit.core import Attempt, Reward

BETWEEN = re.compile(r"</think>\s*+<answer>")


def format_reward(attempt: Attempt) -> float:
    """1 if the whole completion has the format of its style, else 0."""
    finished = attempt.completion.finished
    return float(finished and replies.well_formed(attempt.completion.text, attempt.style))


def no_repetition(attempt: Attempt) -> float:
    """Fraction of the completion's word 4-grams that are not repeats: 1 for text without loops."""
    words = attempt.completion.text.split()
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return len(set(grams)) / len(grams) if grams else 1.0


def paper_format(attempt: Attempt) -> float:
    r"""1 if the text is exactly think block then answer block, as both papers' code tests it.

    Lower-case tags only; nothing outside, white space included; tags inside are ignored. Equals
    a full match of `<think>.*?</think>\s*<answer>.*?</answer>`, without its quadratic time.
    """
    text = attempt.completion.text
    if not (text.startswith("<think>") and text.endswith("</answer>")):
        return 0.0
    return float(BETWEEN.search(text, len("<think>"), len(text) - len("</answer>")) is not None)


def paper_answer(text: str) -> str | None:
    """The text that the papers' code takes as the answer; None if it finds no block.

    The first lower-case block that opens and closes on one line, as `<answer>(.*?)</answer>`
    without DOTALL finds it. Their training code then falls back to the whole text.
    """
    for line in text.split("\n"):
        _, opened, rest = line.partition("<answer>")
        answer, closed, _ = rest.partition("</answer>")
        if opened and closed:
            return answer
    return None


GENERAL: dict[str, Reward] = {"no_repetition": no_repetition}  # any recipe may give these a weight
