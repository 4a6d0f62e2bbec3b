"""How a task's figures are called, wherever a table or a sentence speaks of them."""

from __future__ import annotations

from typing import NamedTuple

from rftkit.metrics import Summary
from rftkit.tasks import by_name


class Words(NamedTuple):
    """Of one task. unit: what n counts; kind: what results are grouped by; headline: its rule."""

    unit: str
    kind: str
    kinds: str
    headline: str


WORDS = {
    "classification": Words("images", "class", "classes", "Strict accuracy"),
    "detection": Words(
        "prompts",
        "category",
        "categories",
        "IoU of matched boxes over the longer of both lists, mean over prompts",
    ),
    "grounding": Words(
        "phrases", "category", "categories", "IoU with the gold box, mean over phrases"
    ),
    "choice": Words("questions", "kind of question", "kinds of question", "Strict accuracy"),
    "number": Words("questions", "kind of question", "kinds of question", "Exact numbers only"),
}


def words_of(summary: Summary) -> Words:
    """The words of the summary's task."""
    return WORDS[summary.task]


def graded(task: str) -> bool:
    """Whether the headline is a degree, such as an overlap, rather than right or wrong."""
    return by_name(task).metric != "accuracy"


def titled(text: str) -> str:
    """The text with its first letter large and the others as they are.

    >>> titled("accuracy"), titled("IoU")
    ('Accuracy', 'IoU')
    """
    return text[:1].upper() + text[1:]
