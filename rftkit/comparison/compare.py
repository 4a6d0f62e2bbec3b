"""`rftkit compare`: find, read, check, measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rftkit.comparison.answers import Answers, Common, Decode, in_common, read_answers
from rftkit.comparison.changes import all_changes, class_rows
from rftkit.comparison.costs import cost_of, differing
from rftkit.comparison.locate import Located, locate
from rftkit.comparison.metric_rows import metric_rows
from rftkit.comparison.schema import Comparison, Cost, Subject
from rftkit.comparison.words import sentences
from rftkit.errors import UserError
from rftkit.metrics.samples import Side, read_samples
from rftkit.tasks import get_task

LETTERS = "ABCDEF"  # as many as a page has colours
Evaluate = Callable[[Path], object]  # makes the evaluation of a run or adapter, or ends it


@dataclass(frozen=True)
class CompareRequest:
    """What is asked for. base: the first one's base model is the reference, before all others."""

    given: tuple[Path, ...]
    split: str | None = None
    decode: Decode | None = None
    base: bool = False


def found(request: CompareRequest, evaluate: Evaluate | None = None) -> Common:
    """The answers of everything that is compared, on the examples in common.

    evaluate: called with a run or adapter whose evaluation is missing or unfinished; None: that it
    is missing is an error, and an unfinished one is compared on what it has.
    Raises UserError where there is nothing to compare, or not comparable.
    """
    if not request.given:
        raise UserError("nothing to compare; name two runs, the first of which is the reference")
    located = [_evaluated(path, request.split, evaluate) for path in request.given]
    wanted: list[tuple[Located, Side]] = [(located[0], "base")] if request.base else []
    wanted += [(one, "tuned") for one in located]
    _check_number(wanted)
    answers = [
        read_answers(one, side, letter, request.split)
        for letter, (one, side) in zip(LETTERS, wanted, strict=False)
    ]
    common = in_common(_named_apart(answers), request.decode)
    notes = tuple(one.note for one in located if one.note)
    return Common(common.answers, common.ids, (*notes, *common.notes))


def measured(common: Common) -> Comparison:
    """Everything that is worked out of the answers."""
    header, metrics = common.answers[0].header, metric_rows(common)
    task, subjects = get_task(header.task), tuple(_subject(one) for one in common.answers)
    costs = tuple(cost_of(one) for one in common.answers)
    classes = class_rows(common)
    return Comparison(
        task=header.task,
        metric=task.metric,
        graded=task.graded,
        split=header.split,
        examples=len(common.ids),
        images=len({sample.image for sample in common.answers[0].of(common.ids)}),
        subjects=subjects,
        sentences=sentences(metrics[0], subjects),
        notes=(*common.notes, *_of_costs(costs)),
        adjusted="holm" if len(subjects) > 2 else "",
        metrics=metrics,
        changes=all_changes(common),
        class_kind=("class" if task.predicts_labels else task.words.group) if classes else "",
        classes=classes,
        costs=costs,
        settings=differing(common.answers),
    )


def _evaluated(given: Path, split: str | None, evaluate: Evaluate | None) -> Located:
    """Where its evaluation is; made or ended before, if that is asked for and can be done."""
    located = locate(given, split)
    if evaluate and not located.is_evaluation and _open(located):
        evaluate(located.given)
    return located


def _open(located: Located) -> bool:
    """Whether the evaluation is missing, or was cut off."""
    if not located.samples.is_file():
        return True
    file = read_samples(located.samples)
    return len(file.done("tuned")) < file.header.expected


def _check_number(wanted: Sequence[tuple[Located, Side]]) -> None:
    if len(wanted) < 2:
        raise UserError(
            f"{wanted[0][0].given}: alone, there is nothing to compare it with; name another one, "
            "or add --base for its base model"
        )
    if len(wanted) > len(LETTERS):
        raise UserError(f"{len(wanted)} to compare; at most {len(LETTERS)} fit on a page")
    seen: dict[tuple[Path, Side], Path] = {}
    for located, side in wanted:
        key = (located.evaluation.resolve(), side)
        if key in seen:
            raise UserError(
                f"{located.given}: the same evaluation as {seen[key]} ({located.evaluation}); "
                "name another one"
            )
        seen[key] = located.given


def _named_apart(answers: Sequence[Answers]) -> list[Answers]:
    """The answers, called by their paths where two have one name."""
    names = [one.name for one in answers]
    return [
        replace(one, name=str(one.located.given)) if names.count(one.name) > 1 else one
        for one in answers
    ]


def _of_costs(costs: Sequence[Cost]) -> list[str]:
    """What forbids to set seconds beside each other."""
    machines = {cost.hardware for cost in costs if cost.hardware}
    if len(machines) < 2:
        return []
    return ["they were evaluated on different machines: their seconds are not comparable"]


def _subject(one: Answers) -> Subject:
    made = one.header.provenance
    return Subject(
        letter=one.letter,
        name=one.name,
        evaluation=str(one.located.evaluation),
        side=one.side,
        style=one.header.style,
        decode=one.header.decode,
        model=made.model,
        adapter_sha256=made.adapter_sha256 if one.side == "tuned" else "",
        answered=one.answered,
        expected=one.header.expected,
        recipe=one.located.recipe is not None,
    )
