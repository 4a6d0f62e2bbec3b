"""The values everybody passes: an image, a row, an example, a completion, a reply, an attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from rftkit.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Style = Literal["think", "direct", "answer-first", "adaptive", "empty-think"]
Rules = Literal["strict", "paper"]
Problem = Literal["no answer", "unparseable", "several answers", "truncated"]


class LazyImage(Protocol):
    """An image that is read when it is needed, so that ten thousand of them fit in memory."""

    @property
    def name(self) -> str:
        """What a person would call it: a path, or a place in a data set."""

    def open(self) -> Image:
        """The image, upright, mode RGB. Raises DataError, naming itself, if it cannot be read."""


@dataclass(frozen=True)
class NoImage:
    """The image of an example that is only scored: it has a name and cannot be opened."""

    name: str = "sample"

    def open(self) -> Image:
        """Always raises DataError."""
        raise DataError(f"{self.name}: there is no image here")


@dataclass(frozen=True)
class Row:
    """One line of the user's data. `location` is what an error message calls it (`pets.csv:17`).

    others: further images of the same question.
    """

    location: str
    image: LazyImage
    values: Mapping[str, object]
    others: tuple[LazyImage, ...] = ()


@dataclass(frozen=True)
class Example:
    """One question about one image, with its gold answer in the task's own canonical text.

    `choices` are the labels offered in the prompt (none: an open answer); `labels` is every label
    the data set knows, against which an open answer is matched. `rationale` is a written
    reasoning, if the data has one. `category` is what shots are drawn by and results are grouped
    by: the label, the kind of object, the kind of question. `others` are further images of the
    same question; `meta` is what the task itself must know, such as the grid of its boxes;
    `aliases` are other spellings of labels, each with the label it means; `credits` are wrong
    labels that training pays for, each with what it earns.
    """

    id: str
    image: LazyImage
    question: str
    gold: str
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = field(default=(), repr=False)
    rationale: str | None = None
    location: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    others: tuple[LazyImage, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    credits: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def images(self) -> tuple[LazyImage, ...]:
        """All images of the question, in the order in which they are shown."""
        return (self.image, *self.others)


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
