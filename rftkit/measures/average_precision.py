"""Average precision over a test set by COCO's rules and by LVIS's, for boxes.

Equal confidences: boxes of an image and label are ordered by their edges
(`answers.box_matching.rank`), images by name. So the order of the input does not matter, and the
results are those of pycocotools for annotations numbered in that order. Corners are scaled to
pixels and rounded to a millionth of one, which undoes the division that made them fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from rftkit.measures.coco_eval import Detection, EvalImage, GoldBox, Rules, distinct, evaluator_of
from rftkit.measures.rates import SEED
from rftkit.measures.statistics import Interval
from rftkit.measures.values import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CocoMetrics",
    "Detection",
    "EvalImage",
    "GoldBox",
    "LvisMetrics",
    "Rules",
    "coco_map",
    "lvis_map",
    "map_difference_interval",
    "map_interval",
]

Frequency = Literal["r", "c", "f"]

RESAMPLES = 200
MAX_CELLS = 100_000  # images × labels that are resampled: half a minute at most


class CocoMetrics(Record):
    """COCO's metrics, in [0, 1]; None where there is no such object."""

    images: int
    objects: int = Field(description="gold objects, crowds not counted")
    ap: float | None = Field(description="AP@[.50:.95], mean over the labels that have objects")
    ap50: float | None
    ap75: float | None
    ap_small: float | None = Field(description="objects up to 32² pixels")
    ap_medium: float | None
    ap_large: float | None = Field(description="objects from 96² pixels")
    ar100: float | None = Field(description="recall with 100 entries per image and label")
    by_label: Mapping[str, float | None]


class LvisMetrics(Record):
    """LVIS's metrics, in [0, 1]; None where there is no such object."""

    images: int
    objects: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ap_rare: float | None
    ap_common: float | None
    ap_frequent: float | None
    by_label: Mapping[str, float | None]


class Curves(NamedTuple):
    """Sizes are all, small, medium, large; -1 where a label has no object of that size.

    precision: (10 thresholds, 101 recalls, labels, sizes). recall: (thresholds, labels, sizes).
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def coco_map(
    gold_boxes: Sequence[GoldBox],
    detections: Sequence[Detection],
    images: Sequence[EvalImage],
    labels: Sequence[str],
) -> CocoMetrics:
    """COCO's metrics over these labels; boxes of other labels are left out.

    A detection of a label that its image neither lists nor has an object of is left out too: nobody
    asked for it. Where every image lists every label the results are those of pycocotools. Raises
    DataError for an image that is not listed, or twice.
    """
    curves = _curves(evaluator_of(gold_boxes, detections, images, labels, "coco"))
    return CocoMetrics(
        **_shared(curves, gold_boxes, images, labels),
        ar100=_mean(curves.recall[:, :, 0]),
    )


def lvis_map(
    gold_boxes: Sequence[GoldBox],
    detections: Sequence[Detection],
    images: Sequence[EvalImage],
    labels: Sequence[str],
    frequency: Mapping[str, Frequency],
) -> LvisMetrics:
    """LVIS's metrics over these labels; one that `frequency` lacks is in no group, only in AP.

    The 300 most confident detections of an image are kept. Then those of a label that the image
    neither lists nor has an object of are left out, and unmatched ones of a label in
    `not_exhaustive` are not held against the model. LVIS has no crowds: the mark is not looked at.
    Raises DataError for an image that is not listed, or twice.

    Source: Gupta, Dollár and Girshick 2019, and the rules of lvis-api 0.5.
    """
    curves = _curves(evaluator_of(gold_boxes, detections, images, labels, "lvis"))
    groups = {
        group: [k for k, label in enumerate(distinct(labels)) if frequency.get(label) == group]
        for group in ("r", "c", "f")
    }
    return LvisMetrics(
        **_shared(curves, gold_boxes, images, labels),
        ap_rare=_mean(curves.precision[:, :, groups["r"], 0]),
        ap_common=_mean(curves.precision[:, :, groups["c"], 0]),
        ap_frequent=_mean(curves.precision[:, :, groups["f"], 0]),
    )


def map_interval(
    gold_boxes: Sequence[GoldBox],
    detections: Sequence[Detection],
    images: Sequence[EvalImage],
    labels: Sequence[str],
    rules: Rules,
) -> Interval | None:
    """The percentile bootstrap's interval of AP@[.50:.95], images drawn with all their objects.

    RESAMPLES draws with a fixed seed; matching is done once, each draw adds up again. A label
    that a draw has no object of is not in its mean. None without objects or past MAX_CELLS.

    AP is higher on few images than on many (its precision is the best at each recall or beyond).
    The interval is for test sets of this size; AP on endlessly many images tends to lie low in
    it or below.
    """
    if not 0 < len(images) * len(distinct(labels)) <= MAX_CELLS:
        return None
    return _middle(_resamples(evaluator_of(gold_boxes, detections, images, labels, rules), images))


def map_difference_interval(
    gold_boxes: Sequence[GoldBox],
    detections: tuple[Sequence[Detection], Sequence[Detection]],
    images: Sequence[EvalImage],
    labels: Sequence[str],
    rules: Rules,
) -> Interval | None:
    """As `map_interval`, of the second model's mAP minus the first's: both see the same draws."""
    if not 0 < len(images) * len(distinct(labels)) <= MAX_CELLS:
        return None
    first, second = (
        _resamples(evaluator_of(gold_boxes, found, images, labels, rules), images)
        for found in detections
    )
    return _middle(
        [None if a is None or b is None else b - a for a, b in zip(first, second, strict=True)]
    )


def _resamples(evaluator: Any, images: Sequence[EvalImage]) -> list[float | None]:
    """mAP of each draw of images; the draws are the same for every evaluator."""
    import numpy as np

    evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluator.evaluate()
    # one cell per label and image: the library has no public way to add up a part of them
    cells = np.asarray(evaluator._evalImgs_cpp, dtype=object).reshape(-1, len(images))
    rng = np.random.default_rng(SEED)
    draws = (rng.integers(len(images), size=len(images)) for _ in range(RESAMPLES))
    return [_resampled(evaluator, cells[:, columns]) for columns in draws]


def _middle(values: Sequence[float | None]) -> Interval | None:
    """Where the middle 95 % of the values lie that are defined; None if none is."""
    import numpy as np

    defined = [value for value in values if value is not None]
    if not defined:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return Interval(float(low), float(high))


def _curves(evaluator: Any) -> Curves:
    evaluator.evaluate()
    evaluator.accumulate()
    return Curves(evaluator.eval["precision"][..., 0], evaluator.eval["recall"][..., 0])


def _resampled(evaluator: Any, cells: NDArray[np.object_]) -> float | None:
    evaluator._evalImgs_cpp = cells.ravel().tolist()
    evaluator.accumulate()
    return _mean(evaluator.eval["precision"])


def _shared(
    curves: Curves,
    gold_boxes: Sequence[GoldBox],
    images: Sequence[EvalImage],
    labels: Sequence[str],
) -> dict[str, Any]:
    precision, names, wanted_labels = curves.precision, distinct(labels), set(labels)
    return {
        "images": len(images),
        "objects": sum(box.label in wanted_labels and not box.crowd for box in gold_boxes),
        "ap": _mean(precision[..., 0]),
        "ap50": _mean(precision[0, ..., 0]),
        "ap75": _mean(precision[5, ..., 0]),
        "ap_small": _mean(precision[..., 1]),
        "ap_medium": _mean(precision[..., 2]),
        "ap_large": _mean(precision[..., 3]),
        "by_label": {label: _mean(precision[:, :, k, 0]) for k, label in enumerate(names)},
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
