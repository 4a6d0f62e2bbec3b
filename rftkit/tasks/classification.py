"""Classification: one image, one label, from an offered list (closed) or from none (open)."""

from __future__ import annotations

from rftkit.answers import labels, replies
from rftkit.core import Attempt, Example, NoImage, Reward, Row, Style
from rftkit.rewards.general import format_reward, paper_answer, paper_format
from rftkit.tasks.options import LabelOptions, Options
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled
from rftkit.tasks.reading import Reading
from rftkit.tasks.starter import Starter
from rftkit.tasks.task import TABLES, Task, Words

QUESTION = "What is shown in this picture?"


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The one example of a row. Columns: `label` and, if there is one, `rationale`."""
    label = reading.text(row, "label")
    return (
        Example(
            id=row.image.name,
            image=row.image,
            question=QUESTION,
            gold=label,
            rationale=reading.rationale(row),
            location=row.location,
            category=label,
        ),
    )


def row(example: Example) -> dict[str, object]:
    """The label."""
    return {"label": example.gold}


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, the labels if any are offered, the style."""
    lines = [example.question]
    if example.choices:
        lines.append(f"Choose one of: {labels.join_labels(example.choices)}.")
    return "\n".join([*lines, replies.INSTRUCTIONS[style]])


def answered(attempt: Attempt) -> str | None:
    """The known label that the reply names; None if it names none, or one that is not offered.

    From an offered list the label is asked for as it stands; an open answer may be a short phrase.
    """
    reply, example = attempt.reply, attempt.example
    if reply.answer is None:
        return None
    if example.choices:
        return labels.match_label(reply.answer, example.choices, example.aliases)
    class_names = example.labels or (example.gold,)
    return labels.match_open_answer(reply.answer, class_names, example.aliases)


def accuracy(attempt: Attempt) -> float:
    """1 if the answer names the gold label and nothing else, else 0."""
    return float(answered(attempt) == attempt.example.gold)


def graded(attempt: Attempt) -> float:
    """1 for the gold label; for another one what the recipe gives for it, else 0."""
    label, example = answered(attempt), attempt.example
    return 1.0 if label == example.gold else example.credits.get(label or "", 0.0)


def scheduled_rewards(options: Options, progress: float) -> dict[str, Reward]:
    """The reward for a right answer, where the recipe gives credit for nearly right ones."""
    assert isinstance(options, LabelOptions)
    return {"accuracy": graded} if options.credit or options.confusions else {}


def parsed(attempt: Attempt) -> str | None:
    """The answer as the list spells it, as written where it is off the list, None if none."""
    return answered(attempt) or attempt.reply.answer


def paper_accuracy(attempt: Attempt) -> float:
    """The rule of the papers' own training code, lenient or raw as it is, for comparison only.

    `direct` (No-Thinking-RL): raw equality. Closed list (CLS-RL): the first answer block, or the
    whole text, equal but for case. Open answer (Visual-RFT): spaces and underscores dropped, a
    substring in either direction, so that an empty answer is right. The maths verifier that both
    run first is left out: it pays wrong answers.
    """
    text, gold = attempt.completion.text, attempt.example.gold
    if attempt.style == "direct":
        return float(text == gold)
    block = paper_answer(text)
    answer = (text if block is None else block).strip()
    if attempt.example.choices:
        return float(answer.lower() == gold.lower())
    answer, gold = _squeezed(answer), _squeezed(gold)
    return float(answer in gold or gold in answer)


def paper_evaluation(attempt: Attempt) -> float:
    """CLS-RL's evaluation: the gold label anywhere in the answer, case and underscores aside."""
    block = paper_answer(attempt.completion.text)
    answer = attempt.completion.text if block is None else block
    gold = attempt.example.gold
    return float(gold.lower().replace("_", " ") in answer.lower().replace("_", " "))


def _squeezed(text: str) -> str:
    return text.replace(" ", "").replace("_", "").lower()


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """The recipe's question, with the labels that the model was trained with."""
    choices = trained.labels if trained.offers else ()
    return [Unlabelled(trained.question or QUESTION, choices, trained.labels)]


TASK = Task(
    name="classification",
    headline="accuracy",
    answer_kind="label",
    read=read,
    prompt=prompt,
    row=row,
    rewards={"accuracy": accuracy, "format": format_reward},
    paper_rewards={"accuracy": paper_accuracy, "format": paper_format},
    parsed=parsed,
    sample=Example("sample", NoImage(), QUESTION, "rose", ("primrose", "rose", "tulip")),
    paper_evaluation=paper_evaluation,
    form=QuestionForm((), unlabelled),
    words=Words("images", "class", "classes"),
    sources=("folder", *TABLES, "coop", "llava", "label_studio", "cvat", "digits", "hangar"),
    options=LabelOptions,
    scheduled_rewards=scheduled_rewards,
    starter=Starter(("image", "label", "rationale")),
)
