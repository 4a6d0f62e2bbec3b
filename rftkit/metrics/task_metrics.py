"""The metrics of a task beside its headline, computed by the task from its scored attempts."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.measures.question_metrics import grouped
from rftkit.measures.values import Measure, Rate
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.scoring import attempt_of
from rftkit.tasks import get_task
from rftkit.tasks.task import Scored


def groups(samples: Sequence[Sample]) -> dict[str, Rate]:
    """The headline score of each category; nothing if there is but one."""
    by_category = grouped([(sample.category, sample.correct) for sample in samples])
    return by_category if len(by_category) > 1 else {}


def task_metrics(samples: Sequence[Sample], header: Header) -> tuple[Measure, ...]:
    """What the task's field reports beside the headline, in the order in which it is read."""
    scored = [Scored(attempt_of(s, header), s.correct, s.half) for s in samples]
    return get_task(header.task).metrics(scored)
