"""Figures of boxes without confidence curves: F1 and counts of lists, overlaps of single boxes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from pydantic import Field

from rftkit.answers.boxes import NEAR, Box, LabelledBox, PredictedBox, iou, match_boxes
from rftkit.measures.rates import rate
from rftkit.measures.values import Rate, Record

HALF = 0.5  # the overlap from which a box is right; a crowd covers an entry from here on


class ImageBoxes(NamedTuple):
    """What was found in one image and what is there.

    Labels are compared as they are; crowds are not objects. An image asked about several times
    may stand several times, by the same name.
    """

    image: str
    predicted: Sequence[PredictedBox]
    gold: Sequence[LabelledBox]


class BoxMetrics(Record):
    """Of a list of boxes per image. Intervals draw whole images."""

    images: int
    f1: Rate = Field(description="share of found and gold boxes that have a partner, IoU >= 0.5")
    precision: Rate = Field(description="share of the found boxes; 0 within (0, 1) if none")
    recall: Rate = Field(description="share of the gold boxes; 0 within (0, 1) if none")
    mean_iou: Rate = Field(description="of the pairs; 0 within (0, 1) if none")
    count_error: float = Field(description="mean over images of |found - gold|, in boxes")
    exact_count: Rate = Field(description="share of the images with found = gold")


class GroundingMetrics(Record):
    """Of one box per question."""

    mean_iou: Rate
    right: Rate = Field(description="acc@0.5: share with IoU >= 0.5")


class Outcome(NamedTuple):
    """One list after matching: the overlap of each entry that counts, 0 without partner."""

    overlaps: list[float]
    gold: int


def measure_boxes(lists: Sequence[ImageBoxes]) -> BoxMetrics:
    """F1, precision and recall over all boxes together (micro), and how well boxes were counted.

    An entry has the gold box of its label that `boxes.match_boxes` gives it; each gold box is given
    once. An unmatched entry of which a crowd of its label covers half or more is left out, as are
    crowds. An entry without box is a false positive.
    """
    outcomes = [_outcome(image_boxes) for image_boxes in lists]
    names = [image_boxes.image for image_boxes in lists]
    hits_found = [[float(overlap > 0) for overlap in o.overlaps] for o in outcomes]
    hits_gold = [
        _flags(sum(map(int, hits)), o.gold) for hits, o in zip(hits_found, outcomes, strict=True)
    ]
    gaps = [abs(len(o.overlaps) - o.gold) for o in outcomes]
    return BoxMetrics(
        images=len(set(names)),
        # 2 TP / (found + gold) is a mean over all boxes of both lists
        f1=_by_image([[*a, *b] for a, b in zip(hits_found, hits_gold, strict=True)], names),
        precision=_by_image(hits_found, names),
        recall=_by_image(hits_gold, names),
        mean_iou=_by_image([[x for x in o.overlaps if x > 0] for o in outcomes], names),
        count_error=fmean(gaps) if gaps else 0.0,
        exact_count=_by_image([[float(gap == 0)] for gap in gaps], names),
    )


def box_parts(image_boxes: ImageBoxes) -> dict[str, tuple[float, float]]:
    """What one list adds to the sums whose ratios are the metrics of `measure_boxes`.

    Name of a metric, as summaries have it -> (upper sum, lower sum).
    """
    outcome = _outcome(image_boxes)
    hits, found = sum(overlap > 0 for overlap in outcome.overlaps), len(outcome.overlaps)
    gap = abs(found - outcome.gold)
    return {
        "f1_at_50": (2 * hits, found + outcome.gold),
        "precision_at_50": (hits, found),
        "recall_at_50": (hits, outcome.gold),
        "iou_of_matches": (sum(outcome.overlaps), hits),
        "exact_count": (float(gap == 0), 1),
        "count_error": (gap, 1),
    }


def measure_grounding(pairs: Sequence[tuple[Box | None, Box]]) -> GroundingMetrics:
    """Mean IoU and acc@0.5 of (found, gold) pairs; None was no box, and has IoU 0."""
    overlaps = [iou(predicted, gold) if predicted else 0.0 for predicted, gold in pairs]
    return GroundingMetrics(
        mean_iou=rate(overlaps), right=rate([float(x >= HALF - NEAR) for x in overlaps])
    )


def _outcome(image_boxes: ImageBoxes) -> Outcome:
    overlaps: list[float] = []
    labels = {entry.label for entry in image_boxes.predicted} | {
        thing.label for thing in image_boxes.gold
    }
    for label in sorted(labels):
        predicted = [entry for entry in image_boxes.predicted if entry.label == label]
        gold = [it.box for it in image_boxes.gold if it.label == label and not it.crowd]
        crowds = [it.box for it in image_boxes.gold if it.label == label and it.crowd]
        matches = match_boxes(predicted, gold, HALF)
        overlaps += [
            pair.iou
            for entry, pair in zip(predicted, matches, strict=True)
            if pair.iou > 0 or not any(_covered(entry.box, crowd) for crowd in crowds)
        ]
    return Outcome(overlaps, sum(not thing.crowd for thing in image_boxes.gold))


def _covered(box: Box | None, crowd: Box) -> bool:
    if box is None:
        return False
    width = min(box.x2, crowd.x2) - max(box.x1, crowd.x1)
    height = min(box.y2, crowd.y2) - max(box.y1, crowd.y1)
    area = (box.x2 - box.x1) * (box.y2 - box.y1)
    return width > 0 and height > 0 and width * height >= HALF * area * (1 - NEAR)


def _flags(right: int, total: int) -> list[float]:
    return [1.0] * right + [0.0] * (total - right)


def _by_image(groups: Sequence[Sequence[float]], names: Sequence[str]) -> Rate:
    """The mean of all scores; its interval draws images with all the scores of their groups."""
    values = [value for group in groups for value in group]
    clusters = [name for group, name in zip(groups, names, strict=True) for _ in group]
    return rate(values, clusters)
