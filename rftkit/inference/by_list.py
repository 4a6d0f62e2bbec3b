"""The answer by list: the label with the highest probability, whatever is written freely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rftkit.core import Example
from rftkit.metrics.lists.calibration import likeliest
from rftkit.runs.calibration import rounded
from rftkit.tasks.options import Options
from rftkit.tasks.task import Task

MAX_LABELS = 400  # of a list that the app scores: one pass encodes prompt and reasoning for all


@dataclass(frozen=True)
class ListAnswer:
    """Probability of each label, and whether a fitted temperature was applied."""

    probabilities: Mapping[str, float]
    calibrated: bool = False

    @property
    def label(self) -> str:
        """The likeliest label, the first where two tie."""
        return likeliest(self.probabilities)

    @property
    def confidence(self) -> float:
        """The probability of the likeliest label, rounded as held-out ones are."""
        return rounded(max(self.probabilities.values()))


def listed(task: Task, example: Example, options: Options) -> dict[str, tuple[str, ...]]:
    """Answer -> how it may be written, of every answer that may be right; {}: no list.

    One answer is no list.
    """
    spelled = task.spellings(example, options)
    return spelled if len(spelled) > 1 else {}
