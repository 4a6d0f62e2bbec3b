"""What a subject fixed and broke against the reference, example by example and class by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from rftkit.comparison import gaps
from rftkit.comparison.answers import Common
from rftkit.comparison.schema import Change, Changes, ClassGap, ClassRow, ReplyOf
from rftkit.metrics.samples import Sample
from rftkit.report.samples_shown import CHANGED, HALF
from rftkit.tasks import get_task

Pair = tuple[Sample, Sample]  # of one example: the reference's, the subject's


def all_changes(common: Common) -> tuple[Changes, ...]:
    """Of each subject but the reference."""
    first = common.answers[0]
    graded = get_task(first.header.task).graded
    before = first.of(common.ids)
    return tuple(
        _changes(other.letter, [*zip(before, other.of(common.ids), strict=True)], graded)
        for other in common.answers[1:]
    )


def fixed_and_broken(pairs: Iterable[Pair], graded: bool) -> tuple[list[Pair], list[Pair]]:
    """Right where the reference is wrong, and the other way round; of degrees, clearly moved."""
    least, fixed, broken = CHANGED if graded else 0.0, list[Pair](), list[Pair]()
    for before, after in pairs:
        change = after.correct - before.correct
        if abs(change) > least:
            (fixed if change > 0 else broken).append((before, after))
    return fixed, broken


def class_rows(common: Common) -> tuple[ClassRow, ...]:
    """A row for each class or category, the largest change first; none if there is but one."""
    header = common.answers[0].header
    task = get_task(header.task)
    listed = [one.of(common.ids) for one in common.answers]
    places: dict[str, list[int]] = {}
    for place, sample in enumerate(listed[0]):
        places.setdefault(sample.gold if task.predicts_labels else sample.category, []).append(
            place
        )
    if len(places) < 2:
        return ()
    rows = [
        _class_row(label, [[own[place] for place in at] for own in listed], task.graded)
        for label, at in places.items()
    ]
    return tuple(sorted(rows, key=_moved))


def _changes(letter: str, pairs: Sequence[Pair], graded: bool) -> Changes:
    fixed, broken = fixed_and_broken(pairs, graded)
    moved = {after.id for _, after in [*fixed, *broken]}
    rest = [after.correct for _, after in pairs if after.id not in moved]
    good = sum(score >= HALF if graded else score == 1 for score in rest)
    return Changes(
        letter=letter,
        fixed=tuple(_change(pair) for pair in _in_turns(fixed)),
        broken=tuple(_change(pair) for pair in _in_turns(broken)),
        both_good=good,
        both_poor=len(rest) - good,
    )


def _in_turns(pairs: Sequence[Pair]) -> list[Pair]:
    """The most telling first, in turns from every kind, so that one does not fill the list."""
    seen = dict[str, int]()
    turns = []
    for pair in sorted(pairs, key=_telling):
        kind = pair[0].category or pair[0].gold
        turn = seen[kind] = seen.get(kind, -1) + 1
        turns.append((turn, pair))
    return [pair for _, pair in sorted(turns, key=lambda item: item[0])]


def _telling(pair: Pair) -> tuple[float, float, str]:
    """The largest change of score first; then of gold's log-probability, where it is known."""
    before, after = pair
    known = before.gold in (before.scores or {}) and after.gold in (after.scores or {})
    surer = (after.scores or {})[after.gold] - (before.scores or {})[before.gold] if known else 0.0
    return -abs(after.correct - before.correct), -abs(surer), before.id


def _change(pair: Pair) -> Change:
    before, after = pair
    return Change(
        id=before.id,
        image=before.image,
        gold=before.gold,
        reference=_reply(before),
        subject=_reply(after),
    )


def _reply(sample: Sample) -> ReplyOf:
    return ReplyOf(
        text=sample.text,
        answer=sample.answer,
        correct=sample.correct,
        tokens=sample.tokens,
        flags=sample.flags,
    )


def _class_row(label: str, listed: Sequence[Sequence[Sample]], graded: bool) -> ClassRow:
    first = listed[0]
    return ClassRow(
        label=label,
        n=len(first),
        values=tuple(fmean(sample.correct for sample in own) for own in listed),
        gaps=tuple(_class_gap(first, other, graded) for other in listed[1:]),
    )


def _class_gap(before: Sequence[Sample], after: Sequence[Sample], graded: bool) -> ClassGap:
    paired = gaps.of_class(before, after)
    fixed, broken = fixed_and_broken(zip(before, after, strict=True), graded)
    return ClassGap(
        value=paired.difference,
        low=paired.interval.low,
        high=paired.interval.high,
        fixed=len(fixed),
        broken=len(broken),
    )


def _moved(row: ClassRow) -> tuple[float, str]:
    return -max(abs(gap.value) for gap in row.gaps), row.label
