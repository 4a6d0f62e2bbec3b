"""Boxes drawn over an image, as an SVG that the page's style sheet colours."""

from __future__ import annotations

from html import escape
from typing import Literal, NamedTuple

from rftkit.answers import boxes
from rftkit.answers.boxes import Box, PredictedBox
from rftkit.answers.labels import match_label
from rftkit.core import Attempt
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.scoring import attempt_of
from rftkit.tasks import get_task, grounding
from rftkit.tasks.annotated import found_boxes

LONG = 320  # units of a pane's longer side
LETTER, LINE = 6.4, 15.0  # units: the width of a letter of a label, the height of its line
DRAWN = 40  # entries of a list; a longer one is mostly junk
HALF = 0.5
OUTSIDE = 0.02  # how far beyond the image an edge is still drawn


class Mark(NamedTuple):
    """One box to draw. kind: gold, a crowd, found and right (hit), found and not (miss)."""

    box: Box
    kind: Literal["gold", "crowd", "hit", "miss"]
    text: str = ""


class Drawing(NamedTuple):
    """The boxes of one reply, those there among them; words: what was found, in a sentence."""

    marks: tuple[Mark, ...]
    words: str


def drawing(sample: Sample, header: Header) -> Drawing:
    """Gold boxes and those that the reply of a detection or grounding sample gives."""
    attempt = attempt_of(sample, header)
    gold = _gold(sample)
    if get_task(header.task).answer_kind == "box":
        return _one(attempt, gold)
    entries = found_boxes(attempt)
    if entries is None:
        return Drawing(gold, "no list of boxes")
    named = [_named(entry, sample) for entry in entries]
    there = boxes.load_boxes(sample.gold)
    matches = boxes.match_boxes(named, there, HALF, boxes.load_box_labels(sample.gold))
    marks = [
        Mark(entry.box, "hit" if pair.iou else "miss", _stated(entry, bool(sample.choices)))
        for entry, pair in zip(named, matches, strict=True)
        if entry.box is not None
    ]
    right = sum(pair.iou > 0 for pair in matches)
    more = f", {DRAWN} of them drawn" if len(marks) > DRAWN else ""
    words = f"{len(entries)} found, {right} right{more}" if entries else "none found"
    return Drawing((*gold, *marks[:DRAWN]), words)


def pane(drawn: Drawing, size: tuple[int, int], image: str) -> str:
    """The SVG of one reply over its image.

    size: width and height in pixels, of which only the ratio counts. image: the mark-up of the
    image, or of a reference to it; "" leaves the ground blank.
    """
    width, height = scaled(size)
    frames = "".join(_frame(mark, width, height) for mark in drawn.marks)
    labels = "".join(_label(mark, width, height) for mark in drawn.marks)  # over every frame
    return (
        f'<svg class="pane" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(drawn.words)}">{image}{frames}{labels}</svg>'
    )


def scaled(size: tuple[int, int]) -> tuple[float, float]:
    """Width and height in units of a pane."""
    scale = LONG / max(size)
    return round(size[0] * scale, 1), round(size[1] * scale, 1)


def _gold(sample: Sample) -> tuple[Mark, ...]:
    named = zip(boxes.load_boxes(sample.gold), _names(sample.gold), strict=True)
    crowd = sample.meta.get("crowd", "[]")
    return (
        *(Mark(box, "crowd", "crowd") for box in boxes.load_boxes(crowd)),
        *(Mark(box, "gold", name) for box, name in named),
    )


def _names(gold: str) -> list[str]:
    return boxes.load_box_labels(gold) or [""] * len(boxes.load_boxes(gold))


def _one(attempt: Attempt, gold: tuple[Mark, ...]) -> Drawing:
    box = grounding.found(attempt)
    if box is None:
        return Drawing(gold, "no box")
    overlap = boxes.iou(box, gold[0].box)
    kind: Literal["hit", "miss"] = "hit" if overlap >= HALF - boxes.NEAR else "miss"
    return Drawing((*gold, Mark(box, kind)), f"a box with IoU {overlap:.2f}")


def _named(entry: PredictedBox, sample: Sample) -> PredictedBox:
    """The entry with its label as the list spells it, where there is a list."""
    label = match_label(entry.label, sample.choices) if sample.choices else None
    return entry._replace(label=label or entry.label)


def _stated(entry: PredictedBox, several: bool) -> str:
    stated = f"{entry.confidence:.2f}".rstrip("0").rstrip(".")
    return f"{entry.label[:24]} {stated}".strip() if several else stated


def _frame(mark: Mark, width: float, height: float) -> str:
    x1, y1, x2, y2 = _edges(mark.box, width, height)
    location = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
    return f'<g class="{mark.kind}"><rect class="case" {location}/><rect {location}/></g>'


def _label(mark: Mark, width: float, height: float) -> str:
    """Of found boxes above the top left corner, of gold ones under the bottom left."""
    text = f"✗ {mark.text}".strip() if mark.kind == "miss" else mark.text
    if not text:
        return ""
    x1, y1, _, y2 = _edges(mark.box, width, height)
    long = LETTER * len(text) + 8
    x = max(0.0, min(x1, width - long))
    y = max(0.0, min(y2 if mark.kind in ("gold", "crowd") else y1 - LINE, height - LINE))
    return (
        f'<g class="{mark.kind}">'
        f'<rect class="plate" x="{x:.1f}" y="{y:.1f}" width="{long:.1f}" height="{LINE:g}"/>'
        f'<text x="{x + 4:.1f}" y="{y + 11.5:.1f}">{escape(text)}</text></g>'
    )


def _edges(box: Box, width: float, height: float) -> Box:
    x1, y1, x2, y2 = map(_inside, box)
    return Box(x1 * width, y1 * height, x2 * width, y2 * height)


def _inside(edge: float) -> float:
    return max(-OUTSIDE, min(1 + OUTSIDE, edge))
