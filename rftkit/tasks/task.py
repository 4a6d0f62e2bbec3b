"""What a task is: a frozen value of functions. Adding one is one file and one line in __init__."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from rftkit.answers import replies
from rftkit.core import Attempt, Completion, Example, Reply, Reward, Row, Rules, Style
from rftkit.errors import DataError
from rftkit.messages import missing_column
from rftkit.tasks.options import Options

if TYPE_CHECKING:
    from PIL.Image import Image


class Unseen:
    """The image of an example that nobody looks at: a task's sample, a scored completion."""

    name = "sample"

    def open(self) -> Image:
        """Raises DataError: there is no image."""
        raise DataError(f"{self.name}: there is no image here")


@dataclass(frozen=True)
class Reading:
    """How a row is read. columns: role -> column name; test: whether it is to be tested on."""

    options: Options
    columns: Mapping[str, str] = field(default_factory=dict)
    test: bool = False
    seed: int = 0

    def value(self, row: Row, role: str, default: object = None) -> object:
        """What the row has in the column of that role."""
        return row.values.get(self.columns.get(role, role), default)

    def cell(self, row: Row, role: str) -> str:
        """The same as text, "" if there is none. Raises DataError as `cell_text` does."""
        return cell_text(self.value(row, role), role, row.place)

    def text(self, row: Row, role: str) -> str:
        """The same as a text of one line. Raises DataError if there is none."""
        wanted = self.columns.get(role, role)
        if wanted not in row.values:
            raise DataError(f"{row.place}: {missing_column(role, wanted, row.values)}")
        text = " ".join(self.cell(row, role).split())
        if not text:
            raise DataError(f"{row.place}: no {role} in column {wanted!r}; every row needs one")
        if replies.TAG.search(text) or "<|" in text or not text.isprintable():
            raise DataError(
                f"{row.place}: {role} {text[:60]!r} holds a tag or control character; reword it"
            )
        return text

    def question_id(self, row: Row) -> str:
        """The image's name, and what tells its questions apart if the row asks its own."""
        question = self.value(row, "question")
        if not question and not row.others:
            return row.image.name
        others = [other.name for other in row.others]
        asked = f"{question}{self.value(row, 'options', '')}{others or ''}"
        return f"{row.image.name}#{sha256(asked.encode()).hexdigest()[:6]}"

    def rationale(self, row: Row) -> str | None:
        """The row's written reasoning, if it has one."""
        return self.cell(row, "rationale").strip() or None


def cell_text(value: object, what: str, place: str) -> str:
    """The text of a cell: a text, or a number as it is written; "" for None.

    Raises DataError for a list, an object, NaN and infinity: as text they would become a class or
    a question that nobody meant.
    """
    if value is None:
        return ""
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise DataError(f"{place}: {what} {repr(value)[:60]} is not a text or a number; write one")


def as_is(example: Example, label: str) -> str:
    """An offered label where the model is to write the label itself."""
    return label


def never(attempt: Attempt) -> bool:
    """Whether a gold answer was only rounded, where text keeps it whole."""
    return False


def gold_as_is(example: Example) -> str:
    """The gold answer where the text a model writes is the canonical text itself."""
    return example.gold


@dataclass(frozen=True)
class Task:
    """The functions that training, evaluation, the app and `rftkit score` share.

    read(row, reading) -> the examples that a row makes, without choices; prompt(example, style) ->
    the text beside the image; rewards and paper: name -> reward in [0, 1] (the paper's own rules
    may leave that range); headline: the reward that evaluation reports, by the name `metric`;
    parsed(attempt) -> the answer as JSON, None if there is none; sample: one example for the tests
    that every task passes; written(example) -> the gold answer as the model is to write it;
    spelled(example, label) -> an offered label as the model is to write it;
    weights: of the rewards, unless a recipe gives its own; options: what a recipe may set; bind
    (options, progress in [0, 1]) -> the rewards that these change, for training; labels: whether
    the answers are labels, so that classes can be confused; least: what a gold answer earns at
    least on its way through text, which rounds boxes; rounded(attempt) -> whether one that earned
    less is still the gold answer, but for that rounding; room: tokens that an answer may take.
    """

    name: str
    headline: str
    read: Callable[[Row, Reading], tuple[Example, ...]]
    prompt: Callable[[Example, Style], str]
    rewards: Mapping[str, Reward]
    paper: Mapping[str, Reward]
    parsed: Callable[[Attempt], object]
    sample: Example
    written: Callable[[Example], str] = gold_as_is
    spelled: Callable[[Example, str], str] = as_is
    metric: str = "accuracy"
    weights: Mapping[str, float] = field(default_factory=lambda: {"accuracy": 1.0, "format": 1.0})
    options: type[Options] = Options
    bind: Callable[[Options, float], Mapping[str, Reward]] | None = None
    labels: bool = False
    least: float = 1.0
    rounded: Callable[[Attempt], bool] = never
    room: int = 32

    def target(self, example: Example, style: Style) -> str:
        """The reply that SFT trains on: the answer alone where the data has no reasoning."""
        return replies.render(self.written(example), example.rationale, style)

    def ideal(self, example: Example, style: Style) -> str:
        """A reply that must earn full marks, with a stand-in where no reasoning is written."""
        reasoning = example.rationale or replies.STAND_IN
        return replies.render(self.written(example), reasoning, style)

    def attempt(self, example: Example, style: Style, completion: Completion) -> Attempt:
        """A completion, read in its style."""
        reply: Reply = replies.read(completion, style)
        return Attempt(example, style, completion, reply)

    def parts(self, attempt: Attempt, rules: Rules = "strict") -> dict[str, float]:
        """Every part of the reward, by name. `direct` has no format to reward."""
        chosen = self.rewards if rules == "strict" else self.paper
        skip = {"format"} if attempt.style == "direct" else set[str]()
        return {name: reward(attempt) for name, reward in chosen.items() if name not in skip}

    def training_rewards(
        self, rules: Rules, options: Options, progress: float
    ) -> Mapping[str, Reward]:
        """The rewards as a run pays them at this share of its steps."""
        if rules == "paper":
            return self.paper
        return {**self.rewards, **(self.bind(options, progress) if self.bind else {})}
