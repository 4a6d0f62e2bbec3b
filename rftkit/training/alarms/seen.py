"""What an alarm looks at: the steps of a run so far, and the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from rftkit.recipe.schema import Recipe
from rftkit.tasks import get_task
from rftkit.training.reward_functions import short

Record = Mapping[str, Any]  # a line of metrics.jsonl


@dataclass(frozen=True)
class Limits:
    """Where each alarm goes off. Steps are optimizer steps; nats are of one token."""

    truncated: float = 0.95  # fraction of the completions
    truncated_steps: int = 3
    silent_groups: float = 0.999  # fraction of the groups whose completions earned the same
    silent_steps: int = 10
    held_out_fall: float = 0.10  # below the best that the held-out examples showed
    repetition: float = 0.5  # fraction of the word 4-grams that are repeats
    repetition_steps: int = 3
    entropy_steps: int = 5  # compared: so many at the beginning, and the last ones
    entropy_collapse: float = 0.02  # of its beginning, while groups are silent
    entropy_explosion: float = 3.0  # times its beginning
    entropy_high: float = 2.0  # nats; below it nothing explodes
    spike: float = 10.0  # times the median of the steps before
    spike_window: int = 20  # steps before; half of them must be there
    kl_high: float = 0.5  # nats; below it KL does not spike
    grad_norm_high: float = 1.0  # below it the gradient does not spike, nor is it clipped
    unchanged_steps: int = 5
    unchanged: float = 1e-9  # a weight's largest move
    flat_steps: int = 10  # compared: the first ones, and the last
    flat: float = 0.02  # the task's own reward rose by less
    flat_beside: float = 0.2  # while another reward rose by more
    flat_good: float = 0.9  # from here on the task's own reward has nothing left to earn
    room: float = 3.0  # checkpoints that the disk must still hold


LIMITS = Limits()


class Alarm(NamedTuple):
    """name: of `rules.RULES`. text: what was seen, with its value. advice: what to do about it."""

    step: int
    name: str
    text: str
    advice: str

    @property
    def line(self) -> str:
        """All of it as one line."""
        return f"step {self.step}: {self.text}; {self.advice}"


class Seen(NamedTuple):
    """What a rule looks at. records: the run's steps so far, oldest first, this one last.

    moved: the largest move of a weight since training began, None where it was not looked at.
    room: checkpoints that the disk still holds, None where it was not looked at.
    """

    records: Sequence[Record]
    recipe: Recipe
    limits: Limits
    moved: float | None = None
    room: float | None = None

    @property
    def headline(self) -> str:
        """The name of the task's own reward."""
        return short(get_task(self.recipe.task).headline)

    def last(self, key: str, count: int) -> list[float]:
        """A metric of the last steps, oldest first; empty where one of them has none."""
        values = [record.get(key) for record in self.records[-count:]]
        known = [float(value) for value in values if value is not None]
        return known if len(known) == count else []

    def ends(self, key: str, count: int) -> tuple[list[Any], list[Any]] | None:
        """A metric of the first `count` steps that have it and of the last ones; None if they meet.

        [5, -, 7, 8, 9, 6] by two steps: [5, 7] and [9, 6], where - is a step of a warm-up.
        """
        last = [record.get(key) for record in self.records[-count:]]
        having = (one[key] for one in self.records[:-count] if one.get(key) is not None)
        first = list(islice(having, count))
        return (first, last) if len(first) == count and None not in last else None
