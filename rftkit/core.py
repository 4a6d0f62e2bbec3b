"""The values everybody passes: a picture, a row, an example, a completion, a reply, an attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

Style = Literal["think", "direct", "answer-first", "adaptive", "empty-think"]
Rules = Literal["strict", "paper"]
Problem = Literal["no answer", "unparseable", "several answers", "truncated"]


class Picture(Protocol):
    """An image that is read when it is needed, so that ten thousand of them fit in memory."""

    @property
    def name(self) -> str:
        """What a person would call it: a path, or a place in a data set."""

    def open(self) -> Image:
        """The picture, upright, mode RGB. Raises DataError, naming itself, if it cannot be read."""


@dataclass(frozen=True)
class Row:
    """One line of the user's data. `place` is what an error message calls it (`pets.csv:17`)."""

    place: str
    picture: Picture
    values: Mapping[str, object]


@dataclass(frozen=True)
class Example:
    """One question about one picture, with its gold answer in the task's own canonical text.

    `choices` are the labels offered in the prompt (none: an open answer); `labels` is every label
    the data set knows, against which an open answer is matched. `rationale` is a written
    reasoning, if the data has one.
    """

    id: str
    picture: Picture
    question: str
    gold: str
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = field(default=(), repr=False)
    rationale: str | None = None
    place: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """What a model wrote: its text, its length in tokens, and whether it ended by itself."""

    text: str
    tokens: int = 0
    finished: bool = True


@dataclass(frozen=True)
class Reply:
    """A completion, read: `answer` is None if there is none (never ""), and `problem` says why."""

    answer: str | None
    reasoning: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Attempt:
    """One completion for one example: the one argument of every reward."""

    example: Example
    style: Style
    completion: Completion
    reply: Reply


Reward = Callable[[Attempt], float]
