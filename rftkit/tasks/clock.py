"""Reading a clock: one image of a dial, one time of day, graded by how far off the hands are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean

from pydantic import Field

from rftkit.answers import replies
from rftkit.core import Attempt, Example, NoImage, Reward, Row, Style
from rftkit.errors import DataError
from rftkit.measures.rates import rate
from rftkit.measures.values import Measure
from rftkit.rewards.general import format_reward
from rftkit.tasks.options import Options
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled
from rftkit.tasks.reading import Reading
from rftkit.tasks.task import Part, Parts, Scored, Task, Words

QUESTION = "What time does this clock show?"
SHAPE = "Answer as HH:MM, with hours from 01 to 12."
TIME = re.compile(r"(\d{1,2})[:.](\d{2})(?:\s*[ap]\.?m\.?)?", re.IGNORECASE)
DIAL = 12 * 60  # minutes of one turn of the hour hand
FAR = DIAL // 2  # minutes, at most, between two positions of the hands
NEAR = 5  # minutes: a twelfth of the minute hand's turn


class ClockOptions(Options):
    """Of reading a clock."""

    tolerance: int = Field(
        default=0, ge=0, le=FAR, description="largest error in minutes that counts as correct"
    )


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The one example of a row. Columns: `answer` or `label`, a time such as 7:35; `category`.

    The gold answer is the time of a twelve-hour dial, 01:00 to 12:59: 19:35 is 07:35.
    """
    value = reading.value(row, "answer")
    value = reading.value(row, "label") if value is None else value
    minutes = minutes_in(str(value))
    if minutes is None:
        raise DataError(f"{row.location}: answer {repr(value)[:60]} is no time; write it as 07:35")
    return (
        Example(
            id=reading.question_id(row),
            image=row.image,
            question=QUESTION,
            gold=spelled(minutes),
            rationale=reading.rationale(row),
            location=row.location,
            category=reading.cell(row, "category"),
        ),
    )


def row(example: Example) -> dict[str, object]:
    """The time."""
    values: dict[str, object] = {"answer": example.gold}
    return {**values, "category": example.category} if example.category else values


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, how a time is written, the style."""
    return "\n".join([example.question, SHAPE, replies.INSTRUCTIONS[style]])


def minutes_in(text: str) -> int | None:
    """Minutes past twelve on the dial, 0 to 719; None if the text is not one time.

    >>> minutes_in("7:35"), minutes_in(" 19.35 pm"), minutes_in("12:05"), minutes_in("7:75")
    (455, 455, 5, None)
    """
    text = text.strip().rstrip(".") if len(text) <= 40 else ""
    if (match := TIME.fullmatch(text)) is None:
        return None
    hours, minutes = int(match[1]), int(match[2])
    return None if hours > 24 or minutes > 59 else (60 * hours + minutes) % DIAL


def spelled(minutes: int) -> str:
    """The time as the dial shows it.

    >>> spelled(5), spelled(455)
    ('12:05', '07:35')
    """
    hours, rest = divmod(minutes % DIAL, 60)
    return f"{hours or 12:02d}:{rest:02d}"


def parsed(attempt: Attempt) -> str | None:
    """The time in the reply; None if its answer is no time."""
    answer = attempt.reply.answer
    minutes = None if answer is None else minutes_in(answer)
    return None if minutes is None else spelled(minutes)


def minutes_off(attempt: Attempt) -> int | None:
    """Minutes between answer and gold the shorter way round, 0 to 360; None without an answer."""
    answer, gold = parsed(attempt), minutes_in(attempt.example.gold)
    if answer is None or gold is None:
        return None
    apart = abs((minutes_in(answer) or 0) - gold)
    return min(apart, DIAL - apart)


def within(attempt: Attempt, tolerance: int) -> float:
    """1 if the answer is at most `tolerance` minutes from the gold time, else 0."""
    off = minutes_off(attempt)
    return float(off is not None and off <= tolerance)


def exact(attempt: Attempt) -> float:
    """1 for the gold time, else 0."""
    return within(attempt, 0)


def close(attempt: Attempt) -> float:
    """1 minus the error in minutes / 360, in [0, 1]; 0 if the answer is not a time.

    Half the dial away earns nothing, an hour off five sixths: it pays to get one hand right.
    """
    off = minutes_off(attempt)
    return 0.0 if off is None else 1.0 - off / FAR


def metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """Mean minutes off of the valid answers, and the fraction of all within five minutes."""
    errors = [off for one in scored if (off := minutes_off(one.attempt)) is not None]
    near = rate([within(one.attempt, NEAR) for one in scored])
    mean = fmean(errors) if errors else None
    return (
        Measure(name="minutes_off", value=mean, n=len(errors), unit="number"),
        Measure.of("within_five_minutes", near),
    )


def parts(attempt: Attempt) -> Parts:
    """Whether the answer is within five minutes; of a valid one also how far off it is."""
    off = minutes_off(attempt)
    near = {("within_five_minutes", ""): Part(within(attempt, NEAR))}
    return near if off is None else {**near, ("minutes_off", ""): Part(off)}


def wrong_answers(example: Example) -> list[str]:
    """An hour later, and half the dial away."""
    gold = minutes_in(example.gold) or 0
    return [spelled(gold + 60), spelled(gold + FAR)]


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """The task's own question."""
    return [Unlabelled(trained.filled(QUESTION))]


def scheduled_rewards(options: Options, progress: float) -> dict[str, Reward]:
    """The accuracy with the recipe's tolerance."""
    assert isinstance(options, ClockOptions)
    return {"accuracy": lambda attempt: within(attempt, options.tolerance)}


TASK = Task(
    name="clock",
    headline="accuracy",
    read=read,
    prompt=prompt,
    row=row,
    rewards={"accuracy": exact, "close": close, "format": format_reward},
    parsed=parsed,
    sample=Example("sample", NoImage(), QUESTION, "07:35"),
    answer_kind="text",
    metrics=metrics,
    parts=parts,
    wrong_answers=wrong_answers,
    form=QuestionForm((), unlabelled),
    words=Words("images", headline="Exact times only"),
    options=ClockOptions,
    scheduled_rewards=scheduled_rewards,
)
