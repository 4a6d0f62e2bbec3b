"""Multiple choice: one question about one image or several, one right option of a few."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from rftkit.answers import labels, replies
from rftkit.answers.literals import literal
from rftkit.core import Attempt, Example, NoImage, Row, Style
from rftkit.errors import DataError, UserError
from rftkit.measures.question_metrics import CV_BENCH, circular, cv_bench
from rftkit.measures.values import Measure
from rftkit.messages import in_short
from rftkit.rewards.general import format_reward, paper_format
from rftkit.tasks.classification import paper_accuracy
from rftkit.tasks.options import ChoiceOptions
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled
from rftkit.tasks.reading import Reading, cell_text
from rftkit.tasks.starter import Starter
from rftkit.tasks.task import TABLES, Scored, Task

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER = re.compile(r"\(?\s*([A-Za-z])\s*[).:]?")
LISTED = re.compile(r"^\s*\(?([A-Z])[).:]\s+(\S.*?)\s*$", re.MULTILINE)  # options in the question
ASKS = "Which option is right?"
AS_SHOWN = ChoiceOptions(shuffle=False)


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The question of a row; to be tested on with `circular`, once for each rotation of options.

    Columns: `question`; `options`, a list (or columns A, B, C, …, or lines "A. …" in the question);
    `answer`, the letter or the text of the right one; `category`, the kind of question, and
    `source`, if there are any. The gold answer is the text of the right option.
    """
    assert isinstance(reading.options, ChoiceOptions)
    question, shown = _question(row, reading)
    gold = _gold(reading.cell(row, "answer"), shown, row.location)
    order = _ordered(shown, row, reading)
    example = Example(
        id=reading.question_id(row),
        image=row.image,
        question=question,
        gold=gold,
        choices=order,
        rationale=reading.rationale(row),
        location=row.location,
        category=reading.cell(row, "category"),
        others=row.others,
        meta={"source": source} if (source := reading.cell(row, "source")) else {},
    )
    if not (reading.test and reading.options.circular) or _bare(order):
        return (example,)
    return tuple(
        replace(
            example,
            id=f"{example.id} ({turn + 1})",
            choices=order[turn:] + order[:turn],
            meta={**example.meta, "question": example.id},
        )
        for turn in range(len(order))
    )


def row(example: Example) -> dict[str, object]:
    """The question, with its options in the order in which they are shown.

    {} for a further rotation of them: the first one's row makes it.
    """
    if "question" in example.meta and example.id != f"{example.meta['question']} (1)":
        return {}
    named = {"category": example.category, "source": example.meta.get("source", "")}
    return {
        "question": example.question,
        "options": list(example.choices),
        "answer": example.gold,
        **{name: text for name, text in named.items() if text},
    }


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, the lettered options, the style."""
    pairs = zip(LETTERS, example.choices, strict=False)
    listed = [f"{letter}. {option}" for letter, option in pairs]
    how = f"Answer with one letter, {LETTERS[0]} to {LETTERS[len(listed) - 1]}."
    return "\n".join([example.question, *listed, how, replies.INSTRUCTIONS[style]])


def written(example: Example) -> str:
    """The letter of the right option."""
    return lettered(example, example.gold)


def lettered(example: Example, option: str) -> str:
    """The letter of an option."""
    return LETTERS[example.choices.index(option)]


def answered(attempt: Attempt) -> str | None:
    """The option that the reply names; None if it names none.

    Named by its letter ("B", "(b)", "B."), by letter and text ("B. left"), or by its exact text.
    """
    reply, options = attempt.reply, attempt.example.choices
    if reply.answer is None:
        return None
    return _named(reply.answer, options)


def accuracy(attempt: Attempt) -> float:
    """1 if the answer names the right option and nothing else, else 0."""
    return float(answered(attempt) == attempt.example.gold)


def parsed(attempt: Attempt) -> str | None:
    """The option that was named, as it is spelled; as written where it is none of them."""
    return answered(attempt) or attempt.reply.answer


def paper_choice(attempt: Attempt) -> float:
    """The rule of CLS-RL's training code, with the letter as the gold answer."""
    asked = replace(attempt.example, gold=written(attempt.example))
    return paper_accuracy(replace(attempt, example=asked))


def _named(answer: str, options: Sequence[str]) -> str | None:
    answer = answer.strip()
    letter = LETTER.fullmatch(answer)
    if letter is None and (both := LISTED.fullmatch(answer)):
        option = _by_letter(both[1], options)
        return option if option and labels.match_label(both[2], [option]) else None
    exact = labels.match_label(answer, options)
    if letter is None:
        return exact
    return _by_letter(letter[1], options) or exact  # an option "x" where only A and B are in use


def _by_letter(letter: str, options: Sequence[str]) -> str | None:
    location = LETTERS.index(letter.upper())
    return options[location] if location < len(options) else None


def _question(row: Row, reading: Reading) -> tuple[str, tuple[str, ...]]:
    """The question without its options, and the options in the order of the data."""
    text = reading.cell(row, "question").strip() or ASKS
    value = reading.value(row, "options")
    if value is None:
        there = [letter for letter in LETTERS if _filled(row.values.get(letter))]
        _check_letters(there, row.location)
        value = [row.values[letter] for letter in there]
    if isinstance(value, str):
        value = _listed(value, row.location)
    if not value and (lines := [*LISTED.finditer(text)]):
        _check_letters([line[1] for line in lines], row.location)
        value, text = [line[2] for line in lines], text[: lines[0].start()].strip() or ASKS
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= len(LETTERS):
        raise DataError(
            f"{row.location}: options {in_short(value, 60)} are not a list of 2 to {len(LETTERS)}; "
            "give them in a column 'options', or in columns A, B, C, …"
        )
    texts = (cell_text(option, "option", row.location) for option in value)
    options = tuple(" ".join(text.split()) for text in texts)
    _check(text, options, row.location)
    return text, options


def _filled(value: object) -> bool:
    return value is not None and bool(str(value).strip())


def _listed(text: str, location: str) -> list[object]:
    value = literal(text, numbers_as_text=True)
    if not isinstance(value, list):
        raise DataError(
            f'{location}: options {text[:60]!r} are not a list; write ["left", "right"]'
        )
    return value


def _check_letters(letters: Sequence[str], location: str) -> None:
    if "".join(letters) != LETTERS[: len(letters)]:
        raise DataError(
            f"{location}: the options are lettered {', '.join(letters)}; use A, B, C, …"
        )


def _check(question: str, options: Sequence[str], location: str) -> None:
    if unreadable := next((option for option in options if not option.isprintable()), None):
        raise DataError(
            f"{location}: option {unreadable[:60]!r} holds a control character; reword it"
        )
    for text in (question, *options):
        if replies.TAG.search(text) or "<|" in text:
            raise DataError(f"{location}: {text[:60]!r} holds a tag of replies; reword it")
    for first, second in labels.colliding_labels(options):
        raise DataError(f"{location}: options {first!r} and {second!r} read the same; reword one")
    if len({*options}) < len(options) or not all(map(labels.normalise, options)):
        raise DataError(f"{location}: two options are the same, or one is empty; fix the list")


def _gold(answer: str, options: Sequence[str], location: str) -> str:
    gold = labels.match_label(answer, options) or _named(answer, options)
    if gold is None:
        raise DataError(
            f"{location}: answer {answer[:60]!r} does not name one of the {len(options)} options; "
            "give its letter or its text"
        )
    return gold


def _bare(options: Sequence[str]) -> dict[int, str]:
    """The options that are themselves one of the letters in use: place -> letter."""
    matches = ((location, LETTER.fullmatch(option)) for location, option in enumerate(options))
    letters = {location: letter[1].upper() for location, letter in matches if letter}
    return {location: own for location, own in letters.items() if _by_letter(own, options)}


def _ordered(options: tuple[str, ...], row: Row, reading: Reading) -> tuple[str, ...]:
    """The options as they are shown. Options that are letters themselves stay where they are."""
    assert isinstance(reading.options, ChoiceOptions)
    if bare := _bare(options):
        for location, letter in bare.items():
            if letter != LETTERS[location]:
                raise DataError(
                    f"{row.location}: option {options[location]!r} is a letter, but not its own; "
                    "reword it"
                )
        return options
    if not reading.options.shuffle:
        return options
    mixed = list(options)
    random.Random(f"{reading.seed}:{reading.question_id(row)}").shuffle(mixed)
    return tuple(mixed)


def metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """Circular accuracy where questions were asked in several rotations; CV-Bench's scores."""
    questions = [
        (one.attempt.example.meta.get("question", one.attempt.example.id), one.correct)
        for one in scored
    ]
    rotated = len({name for name, _ in questions}) < len(questions)
    measures = [Measure.of("circular_accuracy", circular(questions))] if rotated else []
    sources = [one.attempt.example.meta.get("source", "") for one in scored]
    if not {*sources} <= {*CV_BENCH}:
        return tuple(measures)
    bench = cv_bench([(s, one.correct) for s, one in zip(sources, scored, strict=True)])
    if bench.official:
        measures.append(Measure.of("cv_bench_official", bench.official))
    measures.append(Measure.of("cv_bench_micro", bench.micro))
    measures += [Measure.of("accuracy_by_source", r, name) for name, r in bench.by_source.items()]
    return tuple(measures)


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """A question with its options, in the order in which they were given."""
    if not question.text or len(question.options) < 2:
        raise UserError(
            "the task 'choice' needs a question and its options; give --question \"Where is it?\" "
            "--option left --option right"
        )
    values = {"question": question.text, "options": question.options, "answer": "A"}
    (example,) = read(Row("--question", NoImage(), values), Reading(AS_SHOWN))
    text = trained.filled(example.question)
    return [Unlabelled(text, choices=example.choices, meta={"asked": question.text})]


TASK = Task(
    name="choice",
    headline="accuracy",
    answer_kind="option",
    read=read,
    prompt=prompt,
    row=row,
    rewards={"accuracy": accuracy, "format": format_reward},
    paper_rewards={"accuracy": paper_choice, "format": paper_format},
    parsed=parsed,
    sample=Example(
        "sample",
        NoImage(),
        "Where is the dog?",
        "left of the tree",
        ("behind the car", "left of the tree", "on the roof"),
    ),
    written=written,
    spelled=lettered,
    metrics=metrics,
    form=QuestionForm(
        ("text", "options"),
        unlabelled,
        "question and options: a question and two options at least are needed",
    ),
    sources=(*TABLES, "llava", "scenes"),
    options=ChoiceOptions,
    score_options=AS_SHOWN,
    starter=Starter(("image", "question", "options", "answer"), "tiny-quiz"),
)
