"""What `tiny-quiz` is taught: lists first, then scenes, and the right letter beside every digit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rftkit.answers import replies
from rftkit.core import Completion
from rftkit.data.synthetic.scenes import Place, Thing
from rftkit.models.tiny.course import Lesson
from rftkit.models.tiny.quiz_lessons import STYLES, lesson, reading_lesson

ROW = (Thing("7", Place(0, 4, 3, 8)), Thing("3", Place(5, 0, 10, 7)))


def lessons(progress: float) -> list[Lesson]:
    rng = np.random.default_rng(0)
    return [lesson(ROW, rng, progress) for _ in range(300)]


def about(taught: Lesson) -> str:
    """`list` where the question names the digit whose letter is asked for, else what is asked."""
    question = taught.prompt.splitlines()[0]
    if question.startswith("How many"):
        return "number"
    return "list" if question.removesuffix("?")[-1].isdigit() else "choice"


@pytest.mark.parametrize(
    ("progress", "lists"), [(0.0, (0.4, 0.6)), (0.2, (0.1, 0.3)), (0.5, (0.0, 0.0))]
)
def test_lists_come_first_and_end(progress: float, lists: tuple[float, float]) -> None:
    kinds = Counter(map(about, lessons(progress)))
    least, most = lists
    assert least <= kinds["list"] / 300 <= most
    assert kinds["choice"] > kinds["number"] > 0


def test_the_letter_is_that_of_the_digit_asked_for() -> None:
    for taught in lessons(0.0):
        question, *lines = taught.prompt.splitlines()
        told = dict(line.split(". ") for line in lines[:4]) if about(taught) != "number" else {}
        if len(taught.reply) > 1:
            continue  # not in the direct style
        if about(taught) == "list":
            assert told[taught.reply] == question.removesuffix("?")[-1]
        elif "leftmost" in question:
            assert told[taught.reply] == "7"
        elif "rightmost" in question:
            assert told[taught.reply] == "3"


def test_a_reading_lesson_needs_no_image() -> None:
    rng = np.random.default_rng(0)
    for taught in [reading_lesson(rng) for _ in range(50)]:
        question, *lines = taught.prompt.splitlines()
        told = dict(line.split(". ") for line in lines[:4])
        assert told[taught.reply] == question.removesuffix("?").split()[-1]


def test_every_style_is_taught_in_its_shape() -> None:
    found: Counter[str] = Counter()
    for taught in lessons(0.9):
        styles = [style for style in STYLES if taught.prompt.endswith(replies.INSTRUCTIONS[style])]
        assert len(styles) == 1
        assert replies.well_formed(taught.reply, styles[0])
        assert replies.read(Completion(taught.reply), styles[0]).answer
        found.update(styles)
    assert set(found) == set(STYLES)
    assert found["direct"] > 150
