"""Compare the predicted with the gold boxes of one image and one label: IoU, F1, COCO's AP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rftkit.answers.boxes import NEAR, Box, Match, PredictedBox, ious

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
RECALLS = tuple(0.01 * step for step in range(101))  # products, as COCO has them: 0.07 + 1e-17
MAX_FOUND = 100  # entries that COCO looks at, the most confident ones


class RankKey(NamedTuple):
    """Sort key of a predicted box among those of its image and label: the smallest comes first.

    Two different boxes never have the same key, so the order of the model's list does not matter.
    """

    negative_confidence: float
    has_no_box: bool
    edges: tuple[float, ...]


def rank(box: Box | None, confidence: float) -> RankKey:
    """Sort key: most confident first, ties by the four edges, entries without a box last.

    >>> keys = [rank(None, 0.5), rank(Box(0, 0, 1, 1), 0.5), rank(None, 0.9)]
    >>> min(keys).negative_confidence
    -0.9
    """
    return RankKey(-confidence, box is None, tuple(box or ()))


def iou_over_boxes(matches: Sequence[Match], gold: int) -> float:
    """Sum of the matched IoUs divided by max(gold, predicted) boxes, in [0, 1].

    gold: the number of gold boxes. 1 if there are neither gold nor predicted boxes.
    """
    boxes = max(gold, len(matches))
    return min(1.0, math.fsum(match.iou for match in matches) / boxes) if boxes else 1.0


def confidence_credit(matches: Sequence[Match]) -> float:
    """Mean over the predicted boxes of c if matched, else 1 - c; c is the stated confidence.

    In [0, 1]. `matches` must not be empty.
    """
    credits = [c if overlap else 1 - c for overlap, c in matches]
    return math.fsum(credits) / len(credits)


def optimal_f1(
    predicted: Sequence[PredictedBox], gold: Sequence[Box], threshold: float = 0.5
) -> float:
    """F1 in [0, 1] under the one-to-one matching with the most pairs; confidence is ignored.

    A pair has an IoU of at least `threshold` (above 0 in any case). An entry without a box is a
    false positive. 1 if both lists are empty, 0 if one of them is.
    """
    if not predicted or not gold:
        return float(not predicted and not gold)
    from scipy.optimize import linear_sum_assignment

    is_pair = [[_fits(overlap, threshold) for overlap in row] for row in overlaps(predicted, gold)]
    rows, columns = linear_sum_assignment(is_pair, maximize=True)
    pairs = sum(is_pair[row][column] for row, column in zip(rows, columns, strict=True))
    return 2 * int(pairs) / (len(predicted) + len(gold))


def average_precision_of_image(predicted: Sequence[PredictedBox], gold: Sequence[Box]) -> float:
    """COCO's AP@[.50:.95] of one image and one label, in [0, 1]; labels are ignored.

    Precision is interpolated at 101 recalls and averaged over 10 IoU thresholds; only the 100 most
    confident entries count, in the order of `rank`. An entry without a box is a false positive.
    1 if both lists are empty, 0 if one of them is.
    """
    if not predicted or not gold:
        return float(not predicted and not gold)
    ordered = sorted(predicted, key=lambda entry: rank(entry.box, entry.confidence))[:MAX_FOUND]
    ious = overlaps(ordered, sorted(gold))
    hits_by_threshold = [_hits(ious, threshold) for threshold in THRESHOLDS]
    return sum(_interpolated(row, len(gold)) for row in hits_by_threshold) / len(hits_by_threshold)


def overlaps(predicted: Sequence[PredictedBox], gold: Sequence[Box]) -> list[list[float]]:
    """IoUs, (predicted, gold): one row per entry; 0 in the row of an entry without a box."""
    return ious([entry.box for entry in predicted], gold)


def _fits(overlap: float, threshold: float) -> bool:
    return overlap > 0 and overlap >= threshold - NEAR


def _hits(ious: Sequence[Sequence[float]], threshold: float) -> list[bool]:
    """Whether each row gets a column: the best unused one; of two equal ones the later, as COCO."""
    free = set(range(len(ious[0])))
    hits = []
    for row in ious:
        best = max(free, key=lambda column: (row[column], column), default=None)
        hit = best is not None and _fits(row[best], threshold)
        if best is not None and hit:
            free.remove(best)
        hits.append(hit)
    return hits


def _interpolated(hits: Sequence[bool], gold: int) -> float:
    """Average precision of hits in the order of confidence, for so many gold boxes.

    The mean over RECALLS of the highest precision at that recall or a higher one. With the hits
    yes, no, yes and 4 gold boxes:

        recall                    1/4   1/4   2/4
        precision                 1/1   1/2   2/3
        highest from here on      1     2/3   2/3

    Recalls 0.00 to 0.25 (26 of 101) read 1, 0.26 to 0.50 (25) read 2/3, higher ones were never
    reached and read 0: AP = (26 × 1 + 25 × 2/3) / 101 = 0.42.

    >>> round(_interpolated([True, False, True], 4), 2)
    0.42
    """
    recalls, precisions, true_positives = [], [], 0
    for count, hit in enumerate(hits, 1):
        true_positives += hit
        recalls.append(true_positives / gold)
        precisions.append(true_positives / count)
    for index in range(len(hits) - 2, -1, -1):
        precisions[index] = max(precisions[index], precisions[index + 1])
    total, index = 0.0, 0
    for recall in RECALLS:
        while index < len(hits) and recalls[index] < recall:
            index += 1
        if index == len(hits):
            break
        total += precisions[index]
    return total / len(RECALLS)
