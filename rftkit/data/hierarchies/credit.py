"""What training pays for a label that is nearly right: by coarser classes, or by a table."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.data.hierarchies import Hierarchy
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.tasks.options import LabelOptions, Options


def credit_table(
    options: Options, hierarchy: Hierarchy, labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Gold label -> wrong label -> what it earns; {} where the recipe gives no credit.

    Of several levels the one that pays most counts; the table of confusions goes before them.
    Raises DataError for a level or a label that is not there.
    """
    if not isinstance(options, LabelOptions) or not (options.credit or options.confusions):
        return {}
    for level in options.credit:
        if level not in hierarchy.levels:
            raise DataError(
                f"options.credit.{level}: options.names has no such level; "
                f"{did_you_mean(level, hierarchy.levels)}"
            )
    for gold, others in options.confusions.items():
        for label in (gold, *others):
            if label not in labels:
                raise DataError(
                    f"options.confusions: no label {label!r} in the data; "
                    f"{did_you_mean(label, labels)}"
                )
    by_level = {
        gold: {label: _shared(options, hierarchy, gold, label) for label in labels}
        for gold in labels
    }
    return {gold: {**paid, **options.confusions.get(gold, {})} for gold, paid in by_level.items()}


def _shared(options: LabelOptions, hierarchy: Hierarchy, gold: str, label: str) -> float:
    """What is paid for a label by the levels at which it is of the gold label's class."""
    if label == gold:
        return 0.0
    paid = (
        credit
        for level, credit in options.credit.items()
        if hierarchy.levels[level][gold] == hierarchy.levels[level][label]
    )
    return max(paid, default=0.0)
