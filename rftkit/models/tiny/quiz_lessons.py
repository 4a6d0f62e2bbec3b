"""What `tiny-quiz` is taught: where a digit stands in a list, then questions about drawn scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rftkit.answers import replies
from rftkit.core import NoImage, Row, Style
from rftkit.data.synthetic import digits, scene_questions
from rftkit.data.synthetic.scene_questions import OFFERED, Kind, Values
from rftkit.data.synthetic.scenes import UNITS, Thing
from rftkit.models.tiny.course import Lesson
from rftkit.models.tiny.scene_lessons import draw_things
from rftkit.tasks import choice, get_task, number
from rftkit.tasks.reading import Reading

STYLES: tuple[Style, ...] = ("direct", "think", "answer-first", "adaptive")
STYLE_SHARES = (0.6, 0.2, 0.1, 0.1)
LISTS = ((0.15, 0.5), (0.3, 0.2))  # until that share of the lessons, so many are about a list
CHOICES = 0.65  # share of the lessons about a scene; the others count
CORPUS = 1000  # lessons that the tokenizer sees
# One token each: short prompts and replies are what makes a step on a CPU quick.
PHRASES = (
    *(number.SHAPE, f"Answer with one letter, A to {choice.LETTERS[OFFERED - 1]}."),
    *(scene_questions.COUNT_ALL, scene_questions.SEEN),
    *(scene_questions.WHICH.split("{}")[0], *scene_questions.COUNT_ONE.split("{}")),
    *(*(each.word for each in scene_questions.SUPERLATIVES), "offered", "from the left: ", ", "),
    *(f"{letter}. " for letter in choice.LETTERS[:OFFERED]),
    *(str(unit) for unit in range(10, UNITS + 1)),  # the eyes first learn where a digit is
)


def lesson(things: Sequence[Thing], rng: np.random.Generator, progress: float) -> Lesson:
    """A question about a scene, exactly as its task writes it; at first also about a list."""
    style = STYLES[int(rng.choice(len(STYLES), p=STYLE_SHARES))]
    if rng.random() < next((share for until, share in LISTS if progress < until), 0.0):
        return _written(choice.TASK.name, _about_a_list(rng), style, rng)
    task = choice.TASK if rng.random() < CHOICES else number.TASK
    return _written(task.name, scene_questions.values(task.name, things, rng), style, rng)


def reading_lesson(rng: np.random.Generator) -> Lesson:
    """A question about a list, which needs no image, in the plainest style."""
    return _written(choice.TASK.name, _about_a_list(rng), "direct", rng)


def corpus(rng: np.random.Generator) -> list[str]:
    """Texts for the tokenizer: lessons of every kind."""
    taught = [lesson(draw_things(rng), rng, progress=n / CORPUS) for n in range(CORPUS)]
    return [text for one in taught for text in (one.prompt, one.reply)]


def _about_a_list(rng: np.random.Generator) -> Values:
    """Asks for the letter of a digit that is named."""
    chosen = rng.choice(len(digits.DIGITS), OFFERED, replace=False)
    offered = [digits.DIGITS[int(n)] for n in chosen]
    asked = {"question": scene_questions.WHICH.format(offered[0]), "answer": offered[0]}
    return {**asked, "options": tuple(offered), "rationale": f"{offered[0]}: {offered[0]}"}


def _written(kind: Kind, values: Values, style: Style, rng: np.random.Generator) -> Lesson:
    row = Row(f"lesson {rng.integers(2**31)}", NoImage(), values)  # orders the options
    task = get_task(kind)
    (example,) = task.read(row, Reading(task.options()))
    brief = style == "adaptive" and rng.random() < 0.5
    reasons = None if brief else example.rationale
    reply = replies.render(task.written(example), reasons, style)
    return Lesson(task.prompt(example, style), reply)
