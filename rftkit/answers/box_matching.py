"""Found boxes against gold ones of one image and one label: shares, best F1, and COCO's AP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rftkit.answers.boxes import NEAR, Box, Match, PredictedBox, iou

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
RECALLS = tuple(0.01 * step for step in range(101))  # products, as COCO has them: 0.07 + 1e-17
MAX_FOUND = 100  # entries that COCO looks at, the most confident ones


class Ranked(NamedTuple):
    """Where an entry stands among those of its image and label: the smallest is first.

    No two different entries are equal, so the order in which a list was given does not matter.
    """

    doubt: float
    shapeless: bool
    edges: tuple[float, ...]


def rank(box: Box | None, confidence: float) -> Ranked:
    """Most confident first; equal ones by their edges from left to bottom, those without box last.

    >>> sorted([rank(None, 0.5), rank(Box(0, 0, 1, 1), 0.5), rank(None, 0.9)])[0].doubt
    -0.9
    """
    return Ranked(-confidence, box is None, tuple(box or ()))


def iou_over_boxes(matches: Sequence[Match], gold: int) -> float:
    """The sum of the overlaps over max(gold, found), in [0, 1]; none of none: 1."""
    whole = max(gold, len(matches))
    return min(1.0, math.fsum(match.iou for match in matches) / whole) if whole else 1.0


def confidence_credit(matches: Sequence[Match]) -> float:
    """The mean of c for a matched box and 1 - c for another; at least one match."""
    shares = [c if overlap else 1 - c for overlap, c in matches]
    return math.fsum(shares) / len(shares)


def optimal_f1(found: Sequence[PredictedBox], gold: Sequence[Box], threshold: float = 0.5) -> float:
    """F1 in [0, 1] with as many pairs as any matching allows; confidence plays no part.

    A pair overlaps by `threshold` or more (above 0 in any case) and uses both its boxes up. An
    entry without box is a false positive. Nothing there and nothing found: 1; one of both: 0.
    """
    if not found or not gold:
        return float(not found and not gold)
    from scipy.optimize import linear_sum_assignment

    fits = [[_fits(overlap, threshold) for overlap in row] for row in overlaps(found, gold)]
    rows, columns = linear_sum_assignment(fits, maximize=True)
    pairs = sum(fits[row][column] for row, column in zip(rows, columns, strict=True))
    return 2 * int(pairs) / (len(found) + len(gold))


def average_precision_of_image(found: Sequence[PredictedBox], gold: Sequence[Box]) -> float:
    """COCO's AP@[.50:.95] of one image and one label, in [0, 1]; labels are not looked at.

    Precision is read off at 101 recalls, the mean is over 10 thresholds, and the 100 most
    confident entries count; equal confidences stand in the order of `rank`. An entry without box
    is a false positive. Nothing there and nothing found: 1; one of both: 0.
    """
    if not found or not gold:
        return float(not found and not gold)
    ordered = sorted(found, key=lambda entry: rank(entry.box, entry.confidence))[:MAX_FOUND]
    table = overlaps(ordered, sorted(gold))
    hits = [_hits(table, threshold) for threshold in THRESHOLDS]
    return sum(_interpolated(row, len(gold)) for row in hits) / len(hits)


def overlaps(found: Sequence[PredictedBox], gold: Sequence[Box]) -> list[list[float]]:
    """IoU of each entry (row) with each gold box (column); 0 for an entry without box."""
    return [[iou(entry.box, box) if entry.box else 0.0 for box in gold] for entry in found]


def _fits(overlap: float, threshold: float) -> bool:
    return overlap > 0 and overlap >= threshold - NEAR


def _hits(table: Sequence[Sequence[float]], threshold: float) -> list[bool]:
    """Whether each row gets a column: its best one left, the later of two equally good ones."""
    free = set(range(len(table[0])))
    hits = []
    for row in table:
        best = max(free, key=lambda column: (row[column], column), default=None)
        hit = best is not None and _fits(row[best], threshold)
        if best is not None and hit:
            free.remove(best)
        hits.append(hit)
    return hits


def _interpolated(hits: Sequence[bool], gold: int) -> float:
    """The mean over RECALLS of the best precision at that recall or a higher one."""
    recalls, precisions, right = [], [], 0
    for seen, hit in enumerate(hits, 1):
        right += hit
        recalls.append(right / gold)
        precisions.append(right / seen)
    for place in range(len(hits) - 2, -1, -1):
        precisions[place] = max(precisions[place], precisions[place + 1])
    total, place = 0.0, 0
    for recall in RECALLS:
        while place < len(hits) and recalls[place] < recall:
            place += 1
        if place == len(hits):
            break
        total += precisions[place]
    return total / len(RECALLS)
