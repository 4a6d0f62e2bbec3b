"""Counting: one image, one question, one number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from rftkit.answers import replies
from rftkit.answers.number_text import number_in, spelled
from rftkit.core import Attempt, Example, NoImage, Reward, Row, Style
from rftkit.errors import DataError
from rftkit.measures.question_metrics import HUGE, measure_numbers
from rftkit.measures.values import Measure
from rftkit.messages import in_short
from rftkit.rewards.general import format_reward, paper_format
from rftkit.tasks.classification import paper_accuracy
from rftkit.tasks.options import NumberOptions, Options
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled
from rftkit.tasks.reading import Reading
from rftkit.tasks.starter import Starter
from rftkit.tasks.task import TABLES, Part, Parts, Scored, Task, Words

QUESTION = "How many objects are in this picture?"
SHAPE = "Answer with a number."


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The one example of a row. Columns: `question`, `answer` (a number; or `label`), `category`.

    The gold answer is the number in digits, without a fraction that is zero.
    """
    value = reading.value(row, "answer")
    value = reading.value(row, "label") if value is None else value
    gold = number_in(str(value)) if value is not None and not isinstance(value, bool) else None
    if gold is None:
        line = f"answer {in_short(value, 60)} is not a number; write it in digits, at most 15"
        raise DataError(f"{row.location}: {line}")
    question = reading.value(row, "question")
    return (
        Example(
            id=reading.question_id(row),
            image=row.image,
            question=reading.text(row, "question") if question else QUESTION,
            gold=spelled(gold),
            rationale=reading.rationale(row),
            location=row.location,
            category=reading.cell(row, "category"),
            others=row.others,
        ),
    )


def row(example: Example) -> dict[str, object]:
    """The question and the number."""
    values: dict[str, object] = {"question": example.question, "answer": example.gold}
    return {**values, "category": example.category} if example.category else values


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, what to answer with, the style."""
    return "\n".join([example.question, SHAPE, replies.INSTRUCTIONS[style]])


def found(attempt: Attempt) -> Decimal | None:
    """The number in the reply; None if its answer is no number."""
    answer = attempt.reply.answer
    return None if answer is None else number_in(answer)


def parsed(attempt: Attempt) -> str | None:
    """The number in digits; None if there is none."""
    value = found(attempt)
    return None if value is None else spelled(value)


def within(attempt: Attempt, tolerance: float) -> float:
    """1 if the answer is a number at most `tolerance` from the gold one, else 0."""
    value = found(attempt)
    if value is None:
        return 0.0
    return float(abs(value - Decimal(attempt.example.gold)) <= Decimal(str(tolerance)))


def exact(attempt: Attempt) -> float:
    """1 if the answer is the gold number, else 0."""
    return within(attempt, 0.0)


def close(attempt: Attempt) -> float:
    """1 minus the relative error, abs(answer - gold) / max(abs(gold), 1), clipped to [0, 1]."""
    value = found(attempt)
    if value is None:
        return 0.0
    gold = Decimal(attempt.example.gold)
    return max(0.0, 1.0 - float(abs(value - gold) / max(abs(gold), Decimal(1))))


def metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """Within one, mean absolute and root mean squared error, bias; errors of valid answers."""
    answers = [(one.attempt.example.gold, found(one.attempt)) for one in scored]
    values = measure_numbers([(float(g), None if a is None else float(a)) for g, a in answers])
    errors = {
        "mae": values.mean_absolute_error,
        "rmse": values.root_mean_squared_error,
        "bias": values.bias,
    }
    n = values.n - values.invalid
    return (
        Measure.of("within_one", values.within_one),
        *(Measure(name=name, value=value, n=n, unit="number") for name, value in errors.items()),
    )


def parts(attempt: Attempt) -> Parts:
    """Whether the answer is within one; of a valid one also its error."""
    gold, answer = float(attempt.example.gold), found(attempt)
    error = math.inf if answer is None or abs(answer) >= HUGE else float(answer) - gold
    near = {("within_one", ""): Part(float(abs(error) <= 1))}
    if math.isinf(error):
        return near
    return {**near, ("mae", ""): Part(abs(error)), ("bias", ""): Part(error)}


def wrong_answers(example: Example) -> list[str]:
    """A digit more, and less than nothing."""
    return [example.gold + "1", "-1"]


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """The question, or the task's own."""
    meta = {"asked": question.text} if question.text else {}
    return [Unlabelled(trained.filled(question.text or QUESTION), meta=meta)]


def scheduled_rewards(options: Options, progress: float) -> dict[str, Reward]:
    """The rewards that the recipe's tolerance changes."""
    assert isinstance(options, NumberOptions)
    return {"accuracy": lambda attempt: within(attempt, options.tolerance)}


def listed(options: Options) -> tuple[str, ...]:
    """Every number of the recipe's range, in digits; none where it has no range."""
    assert isinstance(options, NumberOptions)
    if options.range is None:
        return ()
    least, most = options.range
    return tuple(str(number) for number in range(least, most + 1))


TASK = Task(
    name="number",
    headline="accuracy",
    answer_kind="number",
    read=read,
    prompt=prompt,
    row=row,
    rewards={"accuracy": exact, "close": close, "format": format_reward},
    paper_rewards={"accuracy": paper_accuracy, "format": paper_format},
    parsed=parsed,
    sample=Example("sample", NoImage(), "How many dogs are in this picture?", "12"),
    metrics=metrics,
    parts=parts,
    wrong_answers=wrong_answers,
    form=QuestionForm(prompts=unlabelled),
    words=Words(headline="Exact numbers only"),
    sources=(*TABLES, "llava", "label_studio", "scenes"),
    options=NumberOptions,
    listed=listed,
    scheduled_rewards=scheduled_rewards,
    starter=Starter(model="tiny-quiz"),
)
