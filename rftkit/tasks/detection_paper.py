"""Detection's rewards as Visual-RFT's code pays them, for `rules = "paper"`."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from rftkit.answers import boxes
from rftkit.answers.box_matching import confidence_credit, iou_over_boxes
from rftkit.answers.boxes import Box, Grid, Match
from rftkit.core import Attempt
from rftkit.rewards.general import paper_answer

THRESHOLD = 0.5  # a match overlaps by more


class Scored(NamedTuple):
    """One entry of a list as the papers' code reads it: the numbers as they stand."""

    position: tuple[float, float, float, float]
    confidence: float


def iou(attempt: Attempt) -> float:
    """Visual-RFT's IoU reward without its maths verifier: matches overlap by more than 0.5."""
    matches = _matches(attempt)
    return iou_over_boxes(matches, len(boxes.load_boxes(attempt.example.gold))) if matches else 0.0


def confidence(attempt: Attempt) -> float:
    """Visual-RFT's confidence reward, clipped to [0, 1]: a junk box with confidence 0 earns 1."""
    matches = _matches(attempt)
    return min(1.0, max(0.0, confidence_credit(matches))) if matches else 0.0


def _matches(attempt: Attempt) -> list[Match]:
    """Greedy by confidence, then as listed; exact duplicates dropped first; [] if unreadable."""
    grid = Grid.of(attempt.example.meta)
    left = [Box(*boxes.in_grid(box, grid)) for box in boxes.load_boxes(attempt.example.gold)]
    unique: dict[object, Scored] = {}
    for entry in _entries(attempt.completion.text):
        unique.setdefault(entry.position, entry)
    matches = []
    for position, stated in sorted(unique.values(), key=lambda entry: -entry.confidence):
        overlap, best = max(((boxes.iou(box, position), box) for box in left), default=(0.0, None))
        if best is not None and overlap > THRESHOLD:
            left.remove(best)
        matches.append(Match(overlap if overlap > THRESHOLD else 0.0, stated))
    return matches


def _entries(text: str) -> list[Scored]:
    """The list as Visual-RFT's code reads it; [] where that code stumbles and pays nothing.

    Single quotes become double ones, doubled brackets single ones, and a list that does not end in
    a bracket is cut after its last whole entry. Keys are `Position` and `Confidence`, nothing else.
    """
    block = paper_answer(text)
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
