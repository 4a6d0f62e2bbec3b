"""Detection: one picture, one kind of object, every box of it with a confidence."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

from rftkit import boxes, replies, rewards
from rftkit.boxes import Box, Found, Grid, Match
from rftkit.core import Attempt, Example, Row, Style
from rftkit.errors import DataError
from rftkit.tasks.task import Task, Unseen

QUESTION = "Find every {} in this picture."
SHAPE = (
    'Write a JSON list with one entry for each box: {{"Position": [x1, y1, x2, y2], '
    '"Confidence": c}}. x runs from 0 to {} from left to right, y from 0 to {} from top to bottom; '
    "c is between 0 and 1. Write [] if there is none."
)
THRESHOLD = 0.5  # least overlap of a match


class Scored(NamedTuple):
    """One entry of a list as the papers' code reads it: the numbers as they stand."""

    position: tuple[float, float, float, float]
    confidence: float


def read(row: Row, columns: Mapping[str, str]) -> Example:
    """The example of a row. columns: `boxes`, `label` and `grid` -> column name.

    `boxes` holds lists of four numbers in units of `grid` ("640x480"; thousandths without one).
    The gold answer is JSON: a list of [x1, y1, x2, y2] as fractions of the picture, not rounded.
    """
    grid = Grid.named(row.values.get(columns.get("grid", "grid")))
    value = row.values.get(columns.get("boxes", "boxes"))
    if not isinstance(value, list | tuple):
        raise DataError(
            f"{row.place}: gold {repr(value)[:60]} is not a list of boxes; "
            "write [[x1, y1, x2, y2], ...]"
        )
    if len(value) > boxes.MAX_BOXES:
        raise DataError(f"{row.place}: {len(value)} gold boxes; at most {boxes.MAX_BOXES} are read")
    gold = [boxes.gold_box(box, grid, row.place) for box in value]
    label = row.values.get(columns.get("label", "label"), "object")
    return Example(
        id=row.picture.name,
        picture=row.picture,
        question=QUESTION.format(label),
        gold=boxes.dump(gold),
        place=row.place,
        meta={"grid": str(grid)},
    )


def prompt(example: Example, style: Style) -> str:
    """The text beside the picture: the question, how a box is written, the style."""
    shape = SHAPE.format(*Grid.of(example.meta))
    return "\n".join([example.question, shape, replies.INSTRUCTIONS[style]])


def written(example: Example) -> str:
    """The gold boxes as the model is to write them: whole units of its coordinates."""
    return boxes.write_boxes(boxes.load(example.gold), Grid.of(example.meta))


def found(attempt: Attempt) -> list[Found] | None:
    """The boxes in the reply; None if its answer is no list of boxes."""
    answer = attempt.reply.answer
    return None if answer is None else boxes.read_boxes(answer, Grid.of(attempt.example.meta))


def parsed(attempt: Attempt) -> list[list[float] | None] | None:
    """The boxes of the reply in the coordinates of its text; None in place of an invalid one."""
    entries = found(attempt)
    if entries is None:
        return None
    grid = Grid.of(attempt.example.meta)
    return [None if box is None else boxes.in_grid(box, grid) for box, _ in entries]


def mean_iou(attempt: Attempt, threshold: float = THRESHOLD) -> float:
    """IoU of matched boxes, in [0, 1]; 0 if the answer is not a list of boxes.

    The sum is divided by max(gold, found): an extra box costs as much as a missed one. No boxes,
    none found: 1. A threshold of 0 gives the continuous form.

    Source: Visual-RFT's IoU reward, with a match from `threshold` on (theirs: above it).
    """
    entries, gold = found(attempt), boxes.load(attempt.example.gold)
    if entries is None:
        return 0.0
    return _quotient(boxes.match(entries, gold, threshold), len(gold))


def confidence(attempt: Attempt) -> float:
    """How well the stated confidences tell hits from misses, in [0, 1].

    The mean of c for a matched box and 1 - c for another; 0 when nothing matched, so that a junk
    box with confidence 0 earns nothing. No boxes, none found: 1.
    """
    entries, gold = found(attempt), boxes.load(attempt.example.gold)
    if not entries:
        return float(entries is not None and not gold)
    matches = boxes.match(entries, gold, THRESHOLD)
    return _credit(matches) if any(match.iou for match in matches) else 0.0


def paper_iou(attempt: Attempt) -> float:
    """Visual-RFT's IoU reward without its maths verifier: matches overlap by more than 0.5."""
    matches = _paper_matches(attempt)
    return _quotient(matches, len(boxes.load(attempt.example.gold))) if matches else 0.0


def paper_confidence(attempt: Attempt) -> float:
    """Visual-RFT's confidence reward, clipped to [0, 1]: a junk box with confidence 0 earns 1."""
    matches = _paper_matches(attempt)
    return min(1.0, max(0.0, _credit(matches))) if matches else 0.0


def _quotient(matches: list[Match], gold: int) -> float:
    whole = max(gold, len(matches))
    return min(1.0, math.fsum(match.iou for match in matches) / whole) if whole else 1.0


def _credit(matches: list[Match]) -> float:
    shares = [c if overlap else 1 - c for overlap, c in matches]
    return math.fsum(shares) / len(shares)


def _paper_matches(attempt: Attempt) -> list[Match]:
    """Greedy by confidence, then as listed; exact duplicates dropped first; [] if unreadable."""
    entries = paper_entries(attempt.completion.text)
    grid = Grid.of(attempt.example.meta)
    left = [Box(*boxes.in_grid(box, grid)) for box in boxes.load(attempt.example.gold)]
    unique: dict[object, Scored] = {}
    for entry in entries:
        unique.setdefault(entry.position, entry)
    matches = []
    for position, stated in sorted(unique.values(), key=lambda entry: -entry.confidence):
        overlap, best = max(((boxes.iou(box, position), box) for box in left), default=(0.0, None))
        if best is not None and overlap > THRESHOLD:
            left.remove(best)
        matches.append(Match(overlap if overlap > THRESHOLD else 0.0, stated))
    return matches


def paper_entries(text: str) -> list[Scored]:
    """The list as Visual-RFT's code reads it; [] where that code stumbles and pays nothing.

    Single quotes become double ones, doubled brackets single ones, and a list that does not end in
    a bracket is cut after its last whole entry. Keys are `Position` and `Confidence`, nothing else.
    """
    block = rewards.paper_answer(text)
    body = (text if block is None else block).strip()
    body = body.replace("[[", "[").replace("]]", "]").replace("\n", "")
    body = body.partition("</answer>")[0]
    if not body.endswith("]"):
        body = body.rsplit("},", 1)[0] + "}]"
    try:
        value = json.loads(body.replace("'", '"'), parse_int=float)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, list) or len(value) > boxes.MAX_BOXES:
        return []
    entries = [entry for item in value if (entry := _scored(item)) is not None]
    return entries if len(entries) == len(value) else []


def _scored(item: object) -> Scored | None:
    if not isinstance(item, dict):
        return None
    position, stated = item.get("Position"), item.get("Confidence")
    if not isinstance(position, list) or len(position) != 4:
        return None
    numbers = [number for number in [*position, stated] if isinstance(number, float)]
    if len(numbers) != 5 or not all(map(math.isfinite, numbers)):
        return None
    return Scored((numbers[0], numbers[1], numbers[2], numbers[3]), numbers[4])


TASK = Task(
    name="detection",
    headline="iou",
    read=read,
    prompt=prompt,
    rewards={"iou": mean_iou, "confidence": confidence, "format": rewards.format_reward},
    paper={"iou": paper_iou, "confidence": paper_confidence, "format": rewards.paper_format},
    parsed=parsed,
    sample=Example(
        "sample",
        Unseen(),
        QUESTION.format("dog"),
        boxes.dump([Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.5, 0.75, 0.9)]),
    ),
    written=written,
)
