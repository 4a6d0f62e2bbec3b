"""The built-in scenes: always the same, boxes around the ink, nothing shared by the splits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from rftkit.core import Example, Row, Style
from rftkit.data.gold_check import gold_check, load_checked_splits
from rftkit.data.sources import builtin, scenes
from rftkit.data.synthetic import digits, scene_questions
from rftkit.data.synthetic.scene_questions import KINDS, Kind
from rftkit.data.synthetic.scenes import SIDE, UNITS, Place, Thing, compose, cropped, place_all
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import load_recipe
from rftkit.tasks import get_task
from rftkit.tasks.reading import Reading

STYLES: tuple[Style, ...] = get_args(Style)
RECIPES = Path(__file__).parents[2] / "recipes"
UNIT = SIDE // UNITS
ROW = (
    Thing("7", Place(0, 4, 3, 8)),
    Thing("3", Place(5, 0, 10, 7)),
    Thing("7", Place(12, 9, 14, 14)),
)

MODELS: dict[Kind, str] = {
    **dict.fromkeys(("detection", "grounding"), "tiny-scenes"),
    **dict.fromkeys(("choice", "number", "fields"), "tiny-quiz"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def scene(row: Row) -> scenes.HandwrittenScene:
    assert isinstance(row.image, scenes.HandwrittenScene)
    return row.image


def ink(row: Row) -> np.ndarray:
    """How much darker than the paper each pixel is, in [0, 255]."""
    grey = np.asarray(row.image.open().convert("L"), dtype=float)
    return np.median(grey) - grey


def examples(kind: Kind, row: Row) -> tuple[Example, ...]:
    task = get_task(kind)
    return task.read(row, Reading(task.options(), test=True))


def test_every_kind_has_400_images_in_each_split_and_they_are_the_same_images() -> None:
    for split in builtin.SPLITS:
        names = {kind: [row.image.name for row in scenes.rows(kind, split)] for kind in KINDS}
        assert len(set(names["detection"])) == 400
        assert all(names[kind] == names["detection"] for kind in KINDS)


@every_kind
def test_rows_and_images_are_the_same_every_time(kind: Kind) -> None:
    first = [
        (row.values, row.image.open().tobytes()) for row in list(scenes.rows(kind, "test"))[:20]
    ]
    scenes._scenes.cache_clear()
    again = [
        (row.values, row.image.open().tobytes()) for row in list(scenes.rows(kind, "test"))[:20]
    ]
    assert first == again
    assert len({content for _, content in first}) == 20


def test_no_scan_and_no_image_is_in_both_splits() -> None:
    train, test = (list(scenes.rows("detection", split)) for split in builtin.SPLITS)
    scans = [{scan for row in rows for scan in scene(row).scans} for rows in (train, test)]
    assert not scans[0] & scans[1]
    assert min(map(len, scans)) > 500
    opened = [{row.image.open().tobytes() for row in rows[:100]} for rows in (train, test)]
    assert not opened[0] & opened[1]


def test_scenes_hold_one_to_four_digits_of_every_kind_about_equally_often() -> None:
    things = [scene(row).things for row in scenes.rows("detection", "test")]
    counts = Counter(map(len, things))
    assert sorted(counts) == [1, 2, 3, 4]
    assert min(counts.values()) > 70
    labels = Counter(thing.label for group in things for thing in group)
    assert sorted(labels) == [*digits.DIGITS]
    assert min(labels.values()) > 60


def test_boxes_lie_in_the_image_apart_and_tight_around_the_ink() -> None:
    for row in list(scenes.rows("detection", "test"))[:60]:
        dark = ink(row) > 36  # six times the noise
        for place in scene(row).places:
            x1, y1, x2, y2 = (edge * UNIT for edge in place)
            inside = dark[y1:y2, x1:x2]
            for edge in (inside[:UNIT], inside[-UNIT:], inside[:, :UNIT], inside[:, -UNIT:]):
                assert edge.any(), (row.place, place)
            assert 0 <= x1 < x2 <= SIDE
            assert 0 <= y1 < y2 <= SIDE
            dark[y1:y2, x1:x2] = False
        assert not dark.any(), row.place  # no ink outside, so no box was cut away twice


def test_the_gold_boxes_are_those_of_the_digits_asked_for() -> None:
    row = next(row for row in scenes.rows("detection", "test") if len(scene(row).places) == 3)
    things = scene(row).things
    by_category = {example.category: example for example in examples("detection", row)}
    assert sorted(by_category) == [*digits.DIGITS]
    for digit, example in by_category.items():
        wanted = [thing.place for thing in things if thing.label == digit]
        example = replace(example, meta={**example.meta, "grid": f"{UNITS}x{UNITS}"})
        written = get_task("detection").written(example)
        assert written.count("Position") == len(wanted)
        assert all(f'"Position": {[*place]}' in written for place in wanted)


@every_kind
@pytest.mark.parametrize("style", STYLES)
def test_every_gold_answer_earns_full_marks_in_the_models_units(kind: Kind, style: Style) -> None:
    task = replace(get_task(kind), min_gold_reward=1.0)
    for row in list(scenes.rows(kind, "test"))[:25]:
        for example in examples(kind, row):
            in_units = replace(example, meta={**example.meta, "grid": f"{UNITS}x{UNITS}"})
            assert gold_check(task, in_units, style)


def test_a_word_singles_out_a_digit_only_if_it_does_so_clearly() -> None:
    found = {word: thing.place for word, thing in scene_questions.apart(ROW).items()}
    assert found == {
        "leftmost": ROW[0].place,
        "rightmost": ROW[2].place,
        "highest": ROW[1].place,
        "lowest": ROW[2].place,
        "largest": ROW[1].place,
    }  # the two small ones are 12 and 10 square units: neither is clearly the smallest
    assert scene_questions.apart(ROW[:1]) == {}


def test_a_phrase_names_a_digit_that_is_there_once() -> None:
    for row in scenes.rows("grounding", "test"):
        phrase, (thing,) = str(row.values["phrase"]), row.values["objects"]  # type: ignore[misc]
        labels = [known.label for known in scene(row).things]
        if row.values["category"] == "name":
            assert (phrase, labels.count(thing.label)) == (f"the {thing.label}", 1)
        else:
            word = phrase.removeprefix("the ").removesuffix(" digit")
            assert scene_questions.apart(scene(row).things)[word].place.box == thing.box


def test_a_choice_has_four_options_and_one_right_one() -> None:
    kinds = Counter(str(row.values["category"]) for row in scenes.rows("choice", "test"))
    assert min(kinds["presence"], kinds["place"]) > 120
    for row in scenes.rows("choice", "test"):
        options, answer = row.values["options"], row.values["answer"]
        assert isinstance(options, tuple)
        assert len(set(options)) == 4
        labels = {thing.label for thing in scene(row).things}
        assert answer in labels
        if row.values["category"] == "presence":
            assert labels & {*options} == {answer}


def test_counts_are_counts_of_what_is_there() -> None:
    for row in scenes.rows("number", "test"):
        labels, question = [t.label for t in scene(row).things], str(row.values["question"])
        if question == scene_questions.COUNT_ALL:
            assert row.values["answer"] == str(len(labels))
        else:
            count_one = scene_questions.COUNT_ONE
            digit = next(d for d in digits.DIGITS if question == count_one.format(d))
            assert row.values["answer"] == str(labels.count(digit))


def test_a_rationale_reads_from_left_to_right() -> None:
    assert scene_questions.rationale(ROW[::-1]) == "from the left: 7, 3, 7"


def test_printed_and_handwritten_scenes_are_made_alike() -> None:
    rng = np.random.default_rng(3)
    glyph = cropped(digits.digit_ink("7", rng))
    (place,) = place_all([glyph], rng)
    image = compose([place], [glyph], rng)
    assert (image.mode, image.size) == ("RGB", (SIDE, SIDE))
    shape = (place.x2 - place.x1) / (place.y2 - place.y1)
    assert shape == pytest.approx(glyph.shape[1] / glyph.shape[0], abs=0.2)


@pytest.mark.parametrize(
    ("kind", "split", "said"),
    [
        ("digits", "test", "data.path: 'digits': source 'scenes' takes the kind of question"),
        ("", "test", "detection, grounding, choice, number"),
        ("choice", "val", "source 'scenes': no split 'val'"),
    ],
)
def test_another_kind_or_split_is_refused(kind: str, split: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(scenes.rows(kind, split))


@every_kind
def test_the_recipe_of_a_kind_reads_its_examples(kind: Kind) -> None:
    recipe: Recipe = load_recipe(RECIPES / f"tiny_{kind}.toml")
    assert (recipe.task, recipe.data.path, recipe.model.name) == (kind, kind, MODELS[kind])
    training, held_out = load_checked_splits(recipe)
    assert len(training.examples) >= 100
    assert len(held_out.examples) >= 200
    if kind in ("detection", "grounding"):
        assert {e.meta["grid"] for e in training.examples} == {f"{UNITS}x{UNITS}"}
