"""The words of a chat template around a question: what Ollama and llama.cpp are told of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from rftkit.errors import ModelError
from rftkit.models.processing.template import prompt_text

QUESTION = "QUESTION"


class Markup(NamedTuple):
    """What a template writes before a question, for its image, and after it up to the reply."""

    before: str
    image: str
    after: str


def markup_of(processor: Any, thinks: bool) -> Markup:
    """The markup of one question about one image. thinks: whether the style has reasoning.

    Raises ModelError for a template without any.
    """
    alone = _parts(processor, 0, thinks)
    shown = _parts(processor, 1, thinks)
    before, after = _common(alone[0], shown[0]), shown[1]
    image = shown[0].removeprefix(before)
    if not image.strip():
        raise ModelError("the chat template of this model writes nothing for an image")
    return Markup(before, image, after)


def _parts(processor: Any, images: int, thinks: bool) -> tuple[str, str]:
    before, _, after = prompt_text(processor, QUESTION, images, thinks).partition(QUESTION)
    return before, after


def _common(one: str, other: str) -> str:
    """The beginning that both share.

    >>> _common("User: ", "User:<image>")
    'User:'
    """
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return one[:same]
