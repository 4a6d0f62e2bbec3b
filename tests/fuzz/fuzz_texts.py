"""Targets that read text: recipes with their overrides, and replies of a model in every style."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

from rftkit.answers import box_text, dates, labels, literals, number_text, replies
from rftkit.answers.boxes import Grid, iou
from rftkit.core import Completion, Example, Style
from rftkit.recipe.builtin import builtin_recipes
from rftkit.recipe.toml import dump_recipe, load_recipe, parse_recipe
from rftkit.tasks import TASKS, classification
from rftkit.tasks.task import Task

SET = b"\n--set "  # before each override, after the text of the recipe
OVERRIDES = (
    *("style=direct", "method.kind=sft", "method.steps=3", "data.splits=['a','b']", "options={}"),
    *("rewards={accuracy=1}", "method.update.clip=[0.1,0.2]", "model.name=tiny", "seed=0x10"),
)
STYLES: tuple[Style, ...] = get_args(Style)
OPEN = replace(classification.TASK.sample, gold="737", choices=(), labels=("737", "737-300"))
CASES: tuple[tuple[Task, Example], ...] = (
    *((task, task.sample) for task in TASKS),
    (classification.TASK, OPEN),
)
GRIDS = (Grid(), Grid(640, 480), Grid(1000, 1000, y_first=True))


def recipe(data: bytes, folder: Path) -> None:
    """A recipe file and `--set` words; what loads is the same after a trip through a file."""
    text, *sets = data.split(SET)
    path = folder / "recipe.toml"
    path.write_bytes(text)
    loaded = load_recipe(path, [word.decode("utf-8", "surrogateescape") for word in sets])
    dumped = dump_recipe(loaded)
    dumped.encode()
    assert parse_recipe(dumped, "dumped") == loaded


def recipe_seeds() -> list[bytes]:
    """The built-in recipes, some with an override."""
    texts = [path.read_bytes() for path in builtin_recipes().values()]
    words = [SET + word.encode() for word in OVERRIDES]
    return [*texts, *(text + word for text, word in zip(texts, words, strict=False))]


def reply(data: bytes, _: Path) -> None:
    """A reply of a model: two bytes choose task, style and how it ended, the rest is what it wrote.

    It is read and paid by all rules; nothing earns more than gold, and only an answer earns.
    """
    head, text = data[:2].ljust(2, b"\0"), data[2:].decode("utf-8", "surrogateescape")
    task, example = CASES[head[0] % len(CASES)]
    style = STYLES[head[1] % len(STYLES)]
    attempt = task.attempt(example, style, Completion(text, finished=head[1] < 128))
    answer = task.parsed(attempt)
    paid = task.rewards_of(attempt)
    assert all(math.isfinite(part) and 0 <= part <= 1 for part in paid.values()), paid
    assert answer is not None or not paid.get(task.headline)
    assert all(map(math.isfinite, task.rewards_of(attempt, "paper").values()))
    replies.well_formed(text, style)


def reply_seeds() -> list[bytes]:
    """Ideal replies and wrong ones, of each task in each style."""
    return [
        bytes([number, place]) + text.encode()
        for number, (task, example) in enumerate(CASES)
        for place, style in enumerate(STYLES)
        for text in (
            task.ideal(example, style),
            *(replies.render(wrong, "a", style) for wrong in task.wrong(example)[:2]),
        )
    ]


def answer(data: bytes, _: Path) -> None:
    """An answer by itself, by every reader of boxes, lists, numbers, dates and labels."""
    text = data.decode("utf-8", "surrogateescape")
    for grid in GRIDS:
        box = box_text.read_box(text, grid)
        held = [one.box for one in box_text.read_boxes(text, grid) or ()] + [box]
        boxes = [one for one in held if one is not None]
        assert all(one.x1 < one.x2 and one.y1 < one.y2 for one in boxes)
        assert all(0 <= iou(one, boxes[0]) <= 1 for one in boxes)
    literals.literal(text)
    literals.literal(text, numbers_as_text=True)
    number = number_text.number_in(text)
    assert number is None or number_text.number_in(number_text.spelled(number)) == number
    for order in get_args(dates.Order):
        dates.date_in(text, order)
    named = labels.match_open_answer(text, ("rose", "rose hip", "737-300"), {"hip": "rose hip"})
    assert named in (None, "rose", "rose hip", "737-300")
    assert labels.names_several("rose or rose hip or " + text, ("rose", "rose hip"))


def answer_seeds() -> list[bytes]:
    """What the tasks write, and what models write in their place."""
    written = [task.written(example) for task, example in CASES]
    others = ["No Objects", "[[1, 2, 3, 4]]", "(1,2),(3,4)", "{'box': (1, 2, 3, 4,), 'score': nan}"]
    dates_seen = ["7 March 2026", "2026-03-07", "07.03.26", "1,200.50", "twelve", "a 737-300 jet"]
    return [text.encode() for text in (*written, *others, *dates_seen)]
