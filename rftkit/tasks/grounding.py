"""Grounding: one picture, one phrase, the one box it speaks of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from rftkit import boxes, replies, rewards
from rftkit.boxes import Box, Grid
from rftkit.core import Attempt, Example, Row, Style
from rftkit.tasks.task import Task, Unseen

QUESTION = "Where in this picture is this: {}?"
SHAPE = (
    "Write one box as (x1,y1),(x2,y2), its top left and its bottom right corner. x runs from 0 to "
    "{} from left to right, y from 0 to {} from top to bottom."
)

_WHOLE = r"\s*+(\d++)\s*+"
PAPER_CORNERS = re.compile(rf"\({_WHOLE},{_WHOLE}\)\s*+,\s*+\({_WHOLE},{_WHOLE}\)")


def read(row: Row, columns: Mapping[str, str]) -> Example:
    """The example of a row. columns: `box`, `label` (the phrase) and `grid` -> column name.

    `box` holds four numbers, or a list of one box, in units of `grid` ("640x480"; thousandths
    without one). The gold answer is JSON: a list of one [x1, y1, x2, y2] in fractions.
    """
    grid = Grid.named(row.values.get(columns.get("grid", "grid")))
    value = row.values.get(columns.get("box", "box"))
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    gold = boxes.gold_box(value, grid, row.place)
    phrase = row.values.get(columns.get("label", "label"), "the main object")
    return Example(
        id=row.picture.name,
        picture=row.picture,
        question=QUESTION.format(phrase),
        gold=boxes.dump([gold]),
        place=row.place,
        meta={"grid": str(grid)},
    )


def prompt(example: Example, style: Style) -> str:
    """The text beside the picture: the question, how a box is written, the style."""
    shape = SHAPE.format(*Grid.of(example.meta))
    return "\n".join([example.question, shape, replies.INSTRUCTIONS[style]])


def written(example: Example) -> str:
    """The gold box as the model is to write it: whole units of its coordinates."""
    return boxes.write_box(_gold(example), Grid.of(example.meta))


def found(attempt: Attempt) -> Box | None:
    """The one valid box in the reply; None if there is none, or more than one."""
    answer = attempt.reply.answer
    return None if answer is None else boxes.read_box(answer, Grid.of(attempt.example.meta))


def parsed(attempt: Attempt) -> list[float] | None:
    """The box of the reply in the coordinates of its text."""
    box = found(attempt)
    return None if box is None else boxes.in_grid(box, Grid.of(attempt.example.meta))


def iou(attempt: Attempt) -> float:
    """IoU of the reply's box with the gold box, in [0, 1]; 0 without exactly one valid box."""
    box = found(attempt)
    return 0.0 if box is None else boxes.iou(box, _gold(attempt.example))


def paper_iou(attempt: Attempt) -> float:
    """Visual-RFT's LISA reward without its maths verifier: GIoU + 1 of the first four corners.

    Whole numbers only, in the answer block or, without one, anywhere in the text. Boxes score in
    [0, 2]; inverted corners are not noticed and can score far more. 0 where there is no box.
    """
    text = attempt.completion.text
    block = rewards.paper_answer(text)
    corners = PAPER_CORNERS.search(text if block is None else block)
    if corners is None:
        return 0.0
    x1, y1, x2, y2 = map(float, corners.groups())
    gold = Box(*boxes.in_grid(_gold(attempt.example), Grid.of(attempt.example.meta)))
    score = 1 + boxes.giou((x1, y1, x2, y2), gold)
    return score if math.isfinite(score) else 0.0


def _gold(example: Example) -> Box:
    return boxes.load(example.gold)[0]


TASK = Task(
    name="grounding",
    headline="iou",
    read=read,
    prompt=prompt,
    rewards={"iou": iou, "format": rewards.format_reward},
    paper={"iou": paper_iou, "format": rewards.paper_format},
    parsed=parsed,
    sample=Example(
        "sample",
        Unseen(),
        QUESTION.format("the dog on the left"),
        boxes.dump([Box(0.1, 0.2, 0.3, 0.4)]),
    ),
    written=written,
)
