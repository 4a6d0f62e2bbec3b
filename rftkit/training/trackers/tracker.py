"""What a tracker is told, and the one that keeps silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rftkit.core import Example, LazyImage
from rftkit.metrics.files import Evaluation
from rftkit.runs.run import RunFolder

ROLLOUTS_SHOWN = 8  # of a step


@dataclass(frozen=True)
class Rollout:
    """One completion of training, with what it earned. id: of its example."""

    id: str
    image: LazyImage
    prompt: str
    text: str
    gold: str
    rewards: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """A run that has been evaluated. examples: the held-out ones."""

    run: RunFolder
    evaluation: Evaluation
    examples: Sequence[Example]


class Tracker(Protocol):
    """Takes what a run has to say, in the order in which it happens."""

    def step(self, record: Mapping[str, Any]) -> None:
        """The numbers of one step, as a line of `metrics.jsonl` has them."""

    def rollouts(self, step: int, shown: Sequence[Rollout]) -> None:
        """Some completions of a step."""

    def outcome(self, outcome: Outcome) -> None:
        """The evaluation of base and fine-tuned model, and the report."""


class Silent:
    """A tracker for runs that have none."""

    def step(self, record: Mapping[str, Any]) -> None:
        """Nothing."""

    def rollouts(self, step: int, shown: Sequence[Rollout]) -> None:
        """Nothing."""

    def outcome(self, outcome: Outcome) -> None:
        """Nothing."""


NO_TRACKER = Silent()
