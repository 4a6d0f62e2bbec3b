"""What a task is: a frozen value of functions. Adding one is one file and one line in __init__."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rftkit import replies
from rftkit.core import Attempt, Completion, Example, Reply, Reward, Row, Rules, Style
from rftkit.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


class Unseen:
    """The picture of an example that nobody looks at: a task's sample, a scored completion."""

    name = "sample"

    def open(self) -> Image:
        """Raises DataError: there is no picture."""
        raise DataError(f"{self.name}: there is no picture here")


def gold_as_is(example: Example) -> str:
    """The gold answer where the text a model writes is the canonical text itself."""
    return example.gold


@dataclass(frozen=True)
class Task:
    """The functions that training, evaluation, the app and `rftkit score` share.

    read(row, columns) -> Example, without choices; prompt(example, style) -> the text beside the
    picture; rewards and paper: name -> reward in [0, 1] (the paper's own rules may leave that
    range); headline: the reward that evaluation reports; parsed(attempt) -> the answer as JSON,
    None if there is none; sample: one example for the tests that every task passes;
    written(example) -> the gold answer as the model is to write it.
    """

    name: str
    headline: str
    read: Callable[[Row, Mapping[str, str]], Example]
    prompt: Callable[[Example, Style], str]
    rewards: Mapping[str, Reward]
    paper: Mapping[str, Reward]
    parsed: Callable[[Attempt], object]
    sample: Example
    written: Callable[[Example], str] = gold_as_is

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
