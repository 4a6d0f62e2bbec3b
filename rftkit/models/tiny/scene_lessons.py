"""What `tiny-scenes` is taught: real prompts of four tasks about drawn scenes, and the replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from rftkit.answers import replies
from rftkit.answers.boxes import Box, Grid, LabelledBox
from rftkit.core import Example, NoImage, Row, Style
from rftkit.data.synthetic import digits, scene_questions
from rftkit.data.synthetic.scene_questions import KINDS, Kind
from rftkit.data.synthetic.scenes import UNITS, Thing, draw_labels, place_all
from rftkit.models.tiny.course import Lesson
from rftkit.tasks import choice, detection, get_task, grounding, number
from rftkit.tasks.options import DetectionOptions
from rftkit.tasks.reading import Reading

STYLES: tuple[Style, ...] = ("direct", "think", "answer-first", "adaptive")
STYLE_SHARES = (0.5, 0.2, 0.15, 0.15)
ABSENT = 0.4  # share of the lessons in detection that ask for what is not there
LOOSE = 0.6  # share of the lessons whose boxes are drawn with a margin, as some annotators do
GRID = Grid(UNITS, UNITS)
CORPUS = 1500  # lessons that the tokenizer sees
# One token each: short prompts and replies are what makes a step on a CPU quick.
PHRASES = (
    *(detection.how_written(GRID), grounding.how_written(GRID), number.SHAPE),
    *("Find every ", " in this picture.", "Where in this picture is this: "),
    *("How many times is the digit ", "Which digit is ", scene_questions.COUNT_ALL),
    *(scene_questions.SEEN, "Answer with one letter, A to D.", "from the left: ", ", "),
    *(f"{letter}. " for letter in choice.LETTERS[:4]),
    *('[{"Position": [', '], "Confidence": ', '}, {"Position": [', "}]", "),("),
    *(str(unit) for unit in range(10, UNITS + 1)),
)


def lesson(kind: Kind, things: Sequence[Thing], rng: np.random.Generator) -> Lesson:
    """A question of that kind about a scene, in any style, exactly as its task writes it."""
    task, example = get_task(kind), _example(kind, things, rng)
    style = STYLES[int(rng.choice(len(STYLES), p=STYLE_SHARES))]
    brief = style == "adaptive" and rng.random() < 0.5
    reasons = None if brief else example.rationale
    reply = replies.render(task.written(example), reasons, style)
    return Lesson(task.prompt(example, style), reply)


def any_kind(shares: Mapping[Kind, float], rng: np.random.Generator) -> Kind:
    """A kind of task, drawn by its share of the lessons."""
    kinds = tuple(shares)
    return kinds[int(rng.choice(len(kinds), p=[shares[kind] for kind in kinds]))]


def draw_things(rng: np.random.Generator) -> list[Thing]:
    """Digits and places, without an image."""
    labels = draw_labels(digits.DIGITS, rng)
    inks = [np.ones((3, 2), dtype=np.float32) for _ in labels]
    places = place_all(inks, rng)
    return [Thing(label, place) for label, place in zip(labels, places, strict=True)]


def corpus(rng: np.random.Generator) -> list[str]:
    """Texts for the tokenizer: lessons of every kind, whatever a model is taught."""
    texts = []
    for turn in range(CORPUS):
        taught = lesson(KINDS[turn % len(KINDS)], draw_things(rng), rng)
        texts += [taught.prompt, taught.reply]
    return texts


def _example(kind: Kind, things: Sequence[Thing], rng: np.random.Generator) -> Example:
    """What the task makes of a scene's row, its boxes in the model's own units."""
    place = f"lesson {rng.integers(2**31)}"  # the order of options depends on it
    values = scene_questions.values(kind, things, rng)
    if "objects" in values and rng.random() < LOOSE:
        boxes = cast("tuple[LabelledBox, ...]", values["objects"])
        values["objects"] = tuple(_with_margin(box) for box in boxes)
    row = Row(place, NoImage(), values)
    task = get_task(kind)
    options = DetectionOptions(absent="always") if task is detection.TASK else task.options()
    examples = task.read(row, Reading(options))
    if task is detection.TASK:
        there = {thing.label for thing in things}
        asked = {*digits.DIGITS} - there if rng.random() < ABSENT else there
        examples = tuple(example for example in examples if example.category in asked)
    chosen = examples[int(rng.integers(len(examples)))]
    return replace(chosen, meta={**chosen.meta, "grid": str(GRID)})


def _with_margin(box: LabelledBox) -> LabelledBox:
    """Its box, a unit larger on every side that has room."""
    x1, y1, x2, y2 = box.box
    unit = 1 / UNITS
    grown = Box(max(0.0, x1 - unit), max(0.0, y1 - unit), min(1.0, x2 + unit), min(1.0, y2 + unit))
    return LabelledBox(box.label, grown)
