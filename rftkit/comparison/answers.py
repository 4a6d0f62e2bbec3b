"""The answers of what is compared: read, checked to be comparable, cut to what is in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rftkit.comparison.locate import Located, eval_command
from rftkit.errors import DataError, UserError
from rftkit.metrics.samples import Header, Sample, Side, Timing, read_samples
from rftkit.metrics.scoring import derive, offered
from rftkit.tasks import get_task

Decode = Literal["generate", "choices"]


@dataclass(frozen=True)
class Answers:
    """What one model answered in one evaluation. samples: by id, in the order of the ids.

    answered: how many there were before they were cut to those in common.
    """

    letter: str
    name: str
    located: Located
    side: Side
    header: Header
    samples: Mapping[str, Sample]
    answered: int
    timings: tuple[Timing, ...] = ()

    def of(self, ids: Sequence[str]) -> list[Sample]:
        """The samples of these examples, in this order."""
        return [self.samples[identity] for identity in ids]


@dataclass(frozen=True)
class Common:
    """Comparable answers, all to the same examples, and what a reader must know of them."""

    answers: tuple[Answers, ...]
    ids: tuple[str, ...]
    notes: tuple[str, ...]


def read_answers(located: Located, side: Side, letter: str, split: str | None) -> Answers:
    """One side's answers, not scored yet. Raises UserError if there are none.

    A DataError names the line of a file that cannot be read.
    """
    if not located.samples.is_file():
        raise UserError(_not_evaluated(located, split))
    file = read_samples(located.samples)
    if split and file.header.split != split:
        raise UserError(
            f"{located.given}: tested on split {file.header.split!r}, not {split!r}; "
            "name the run instead, or leave out --split"
        )
    own = sorted((s for s in file.samples if s.side == side), key=lambda sample: sample.id)
    if not own:
        what = "the base model" if side == "base" else "the fine-tuned model"
        raise UserError(
            f"{located.evaluation}: no replies of {what}; run: {eval_command(located, split)}"
        )
    timings = tuple(timing for timing in file.timings if timing.side == side)
    name = f"{located.name}, base model" if side == "base" else located.name
    samples = {sample.id: sample for sample in own}
    return Answers(letter, name, located, side, file.header, samples, len(own), timings)


def in_common(answers: Sequence[Answers], decode: Decode | None) -> Common:
    """The answers cut to the examples that all have, and scored alike.

    Raises UserError, in one line, where the numbers would not mean the same.
    """
    first = answers[0]
    for other in answers[1:]:
        _same_question(first, other)
    _same_decoding(answers, decode)
    shared = [i for i in first.samples if all(i in other.samples for other in answers[1:])]
    if not shared:
        raise UserError(_nothing_shared(answers))
    same_gold = [i for i in shared if len({other.samples[i].gold for other in answers}) == 1]
    if not same_gold:
        raise UserError(
            f"none of the {len(shared)} examples in common has the same gold answer; "
            f"evaluate them on the same labels: {_again(answers[1])}"
        )
    ids = tuple(same_gold)
    scored = tuple(_scored(one, ids, first.header, decode) for one in answers)
    notes = [*_of_ids(answers, shared, ids), *_of_headers(answers), *_of_lists(scored, ids)]
    return Common(scored, ids, tuple(notes))


def _not_evaluated(located: Located, split: str | None) -> str:
    others = sorted(p.parent.name for p in located.evaluation.parent.glob("*/samples.jsonl"))
    there = f" (there are: {', '.join(others)})" if others else ""
    command = eval_command(located, split)
    return (
        f"{located.given}: no evaluation {located.evaluation.name!r} yet{there}; "
        f"run: {command}, or add --evaluate"
    )


def _again(one: Answers) -> str:
    return f"{eval_command(one.located, None)} --data DATA"


def _same_question(first: Answers, other: Answers) -> None:
    """Raises UserError if the two were asked for different things."""
    pair = f"{first.letter} ({first.name}) and {other.letter} ({other.name})"
    if first.header.task != other.header.task:
        raise UserError(
            f"{pair}: their tasks differ, {first.header.task!r} and {other.header.task!r}; "
            "compare runs of one task"
        )
    ours, theirs = {*first.header.labels}, {*other.header.labels}
    if ours != theirs:
        raise UserError(
            f"{pair}: their labels differ, {len(ours)} and {len(theirs)}, only one has "
            f"{min(ours ^ theirs)!r}; evaluate both on the same data: {_again(other)}"
        )


def _same_decoding(answers: Sequence[Answers], decode: Decode | None) -> None:
    """Raises UserError if right or wrong is of free replies here and of lists there."""
    used = {one.header.decode for one in answers}
    if decode is None and len(used) > 1:
        ways = ", ".join(f"{one.letter} by {one.header.decode!r}" for one in answers)
        raise UserError(
            f"answers are decoded differently ({ways}); add --decode generate or --decode choices"
        )
    for one in answers:
        if decode == "generate" and one.header.decode == "choices" and not one.header.list_scores:
            raise UserError(
                f"{one.located.samples}: holds no free replies; evaluate it again, or leave out "
                "--decode generate"
            )


def _nothing_shared(answers: Sequence[Answers]) -> str:
    tested = "; ".join(
        f"{one.letter} on {len(one.samples)} of {one.header.provenance.data or 'unknown data'}, "
        f"split {one.header.split!r}"
        for one in answers
    )
    return f"no test image in common ({tested}); evaluate them on the same: {_again(answers[1])}"


def _scored(one: Answers, ids: Sequence[str], first: Header, decode: Decode | None) -> Answers:
    """The answers to these examples, scored by today's rules and the reference's aliases."""
    change: dict[str, object] = {"aliases": first.aliases}
    if decode:
        change["decode"] = decode
    header = one.header.model_copy(update=change)
    try:
        scored = {identity: derive(one.samples[identity], header) for identity in ids}
    except DataError as error:
        raise DataError(f"{one.located.samples}: {error}") from None
    return replace(one, header=header, samples=scored)


def _of_ids(answers: Sequence[Answers], shared: Sequence[str], ids: Sequence[str]) -> list[str]:
    unit = get_task(answers[0].header.task).words.unit
    notes = []
    for one in answers:
        if len(one.samples) < one.header.expected:
            notes.append(
                f"{one.letter}: {len(one.samples)} of {one.header.expected} answered; unfinished"
            )
    if any(len(one.samples) != len(shared) for one in answers):
        counts = ", ".join(f"{one.letter} {len(one.samples)}" for one in answers)
        notes.append(f"compared on the {len(shared)} {unit} in common (answered: {counts})")
    if len(ids) < len(shared):
        left = len(shared) - len(ids)
        notes.append(f"{left} of {len(shared)} {unit} left out: their gold answers differ")
    return notes


def _of_headers(answers: Sequence[Answers]) -> list[str]:
    first, notes = answers[0], []
    for other in answers[1:]:
        pair = f"{first.letter} and {other.letter}"
        ours, theirs = first.header.provenance.data, other.header.provenance.data
        if ours != theirs:
            notes.append(
                f"{pair} name their data differently ({ours or '?'}; {theirs or '?'}): images of "
                "one name are taken for the same"
            )
        if first.header.split != other.header.split:
            splits = f"{first.header.split!r} and {other.header.split!r}"
            notes.append(f"{pair} were tested on splits {splits}")
        if first.header.aliases != other.header.aliases:
            notes.append(f"{other.letter} is scored with the aliases of {first.letter}")
    return notes


def _of_lists(answers: Sequence[Answers], ids: Sequence[str]) -> list[str]:
    first, notes = answers[0], []
    for other in answers[1:]:
        differing = sum(
            {*offered(a, first.header)} != {*offered(b, other.header)}
            for a, b in zip(first.of(ids), other.of(ids), strict=True)
        )
        if differing:
            notes.append(
                f"{first.letter} and {other.letter} were offered other lists in {differing} of "
                f"{len(ids)} prompts: a shorter list is easier"
            )
    return notes
