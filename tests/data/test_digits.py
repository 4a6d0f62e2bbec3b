"""The images rftkit draws and the two built-in sets: always the same, never shared by splits."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from rftkit.answers.replies import INSTRUCTIONS, read, well_formed
from rftkit.core import Completion, Example, Row, Style
from rftkit.data.sources import builtin
from rftkit.data.sources.builtin import digits_rows, hangar_rows
from rftkit.data.synthetic import digits, hangar
from rftkit.errors import DataError
from rftkit.models.tiny.drawing_lessons import SKILLS, STYLES, SkillName, lesson, prompt_text
from rftkit.tasks import classification


def pixels(row: Row) -> bytes:
    return row.image.open().tobytes()


@pytest.mark.parametrize("font", digits.FONTS)
def test_every_font_draws_ten_different_digits(font: str) -> None:
    assert len({digits._mask(font, label).tobytes() for label in digits.DIGITS}) == 10


def test_a_digit_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first, again, other = (digits.draw_digit("3", np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert (first.mode, first.size) == ("RGB", (digits.SIDE, digits.SIDE))


def test_no_two_digits_have_the_same_rationale() -> None:
    rationales = {digits.digit_rationale(label) for label in digits.DIGITS}
    assert len(rationales) == 10
    assert max(len(text.split()) for text in rationales) <= 9


def test_the_hangar_has_twelve_names_that_say_what_is_to_be_seen() -> None:
    assert len(set(hangar.HANGAR_NAMES)) == 12
    assert len({hangar.hangar_rationale(name) for name in hangar.HANGAR_NAMES}) == 12
    assert hangar.parts("Swift 4T") == ("Swift", "4", "T")
    assert hangar.hangar_rationale("Swift 4T") == "swept wings, four engines, a twin tail"


def test_a_sibling_differs_by_its_tail_only() -> None:
    assert hangar.sibling("Swift 4T") == "Swift 4C"
    assert all(hangar.sibling(hangar.sibling(name)) == name for name in hangar.HANGAR_NAMES)


def test_aircraft_of_one_seed_differ_by_name_alone() -> None:
    drawings = {
        name: hangar.draw_aircraft(name, np.random.default_rng(5)).tobytes()
        for name in hangar.HANGAR_NAMES
    }
    assert len(set(drawings.values())) == 12
    again = hangar.draw_aircraft("Manta 2C", np.random.default_rng(5)).tobytes()
    assert again == drawings["Manta 2C"]


@pytest.mark.parametrize(("split", "count"), [("train", 896), ("test", 901)])
def test_digits_rows_hold_half_of_each_class(split: str, count: int) -> None:
    rows = list(digits_rows(split))
    counts = Counter(str(row.values["label"]) for row in rows)
    assert len(rows) == count
    assert set(counts) == set(digits.DIGITS)
    assert max(counts.values()) - min(counts.values()) <= 5
    assert rows[17].location == f"digits:{split}:17" == rows[17].image.name


def test_no_scan_is_in_both_splits() -> None:
    train, test = ({pixels(row) for row in digits_rows(split)} for split in ("train", "test"))
    assert len(train) == 896
    assert not train & test


@pytest.mark.parametrize("split", ["train", "test"])
def test_hangar_rows_are_the_same_twice(split: str) -> None:
    first, again = list(hangar_rows(split)), list(hangar_rows(split))
    assert first == again
    assert Counter(str(row.values["label"]) for row in first) == dict.fromkeys(
        hangar.HANGAR_NAMES, 40
    )
    assert [pixels(row) for row in first[:12]] == [pixels(row) for row in again[:12]]


def test_no_aircraft_is_in_both_splits() -> None:
    train, test = ({pixels(row) for row in hangar_rows(split)} for split in ("train", "test"))
    assert len(train) == len(test) == 480
    assert not train & test


@pytest.mark.parametrize("rows", [digits_rows, hangar_rows])
def test_an_unknown_split_is_named(rows: object) -> None:
    with pytest.raises(DataError, match="no split 'val'"):
        next(rows("val"))  # type: ignore[operator]


def test_listing_rows_loads_no_heavy_library() -> None:
    code = (
        "import sys; from rftkit.data.sources.builtin import hangar_rows; "
        "next(hangar_rows('train')).image.open(); "
        "heavy = {'torch', 'transformers', 'matplotlib', 'sklearn'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("style", ["think", "direct", "answer-first", "adaptive"])
@pytest.mark.parametrize("choices", [(), digits.DIGITS], ids=["open", "closed"])
def test_the_tiny_model_is_taught_the_prompts_that_the_task_writes(
    style: Style, choices: tuple[str, ...]
) -> None:
    row = next(digits_rows("test"))
    example = Example("1", row.image, "What is it?", "3", choices)
    assert prompt_text("What is it?", choices, style) == classification.prompt(example, style)


@pytest.mark.parametrize("name", ["digits", "hangar"])
def test_every_lesson_ends_in_an_answer_that_its_prompt_allows(name: SkillName) -> None:
    rng = np.random.default_rng(3)
    skill = SKILLS[name]
    for turn in range(300):
        taught = lesson(skill, skill.labels[turn % len(skill.labels)], rng)
        style = next(s for s in STYLES if taught.prompt.endswith(INSTRUCTIONS[s]))
        answer = read(Completion(taught.reply), style).answer
        listed = taught.prompt.partition("Choose one of: ")[2].partition(".\n")[0]
        assert well_formed(taught.reply, style)
        assert answer in (listed.split(", ") if listed else skill.labels)


def test_the_scans_are_those_that_scikit_learn_loads() -> None:
    from sklearn.datasets import load_digits

    known = load_digits()
    images, labels = builtin._scans()
    assert np.array_equal(images, known.images)
    assert np.array_equal(labels, known.target)
