"""Gold boxes, detections and images as neutral values, and the evaluator of COCO's rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rftkit.answers.box_matching import MAX_FOUND, rank
from rftkit.answers.boxes import Box
from rftkit.errors import DataError

Rules = Literal["coco", "lvis"]

LVIS_MAX_FOUND = 300  # per image, all labels together
LARGEST = 1e10  # square pixels: COCO's rules forget a false positive larger than that


class GoldBox(NamedTuple):
    """One gold object. area: of its mask in square pixels; None takes the box's."""

    image: str
    label: str
    box: Box
    crowd: bool = False
    area: float | None = None


class Detection(NamedTuple):
    """One entry of a model's list; without box it is a false positive all the same."""

    image: str
    label: str
    box: Box | None
    confidence: float


class EvalImage(NamedTuple):
    """One test image, its size in pixels, and what is known of it.

    labels: those asked for, or vouched for (LVIS's negatives); the ones of its objects need not be
    among them. not_exhaustive: labels of which not every object is marked (LVIS only).
    """

    image: str
    width: int
    height: int
    labels: tuple[str, ...]
    not_exhaustive: tuple[str, ...] = ()


def evaluator_of(
    gold_boxes: Sequence[GoldBox],
    detections: Sequence[Detection],
    images: Sequence[EvalImage],
    labels: Sequence[str],
    rules: Rules,
) -> Any:
    """An evaluator of faster-coco-eval that has not run; its categories are in labels' order."""
    from faster_coco_eval import COCO, COCOeval_faster

    categories = {label: k for k, label in enumerate(distinct(labels), 1)}
    places = {s.image: (k, s) for k, s in enumerate(_in_order(images, gold_boxes, detections), 1)}
    lvis = rules == "lvis"
    allowed = _allowed(_most_confident(detections) if lvis else detections, gold_boxes, images)
    gold = sorted((t for t in gold_boxes if t.label in categories), key=_gold_order)
    detections_kept = sorted(
        (g for g in allowed if g.label in categories),
        key=lambda g: (g.image, g.label, rank(g.box, g.confidence)),
    )
    frame = {
        "images": [_image(k, image, categories) for k, image in places.values()],
        # groups by frequency are made here: every label is given one that the library knows
        "categories": [{"id": k, "name": n, "frequency": "f"} for n, k in categories.items()],
    }
    gold_rows = [
        {**_row(t, places, categories), "iscrowd": int(t.crowd and not lvis)}
        | ({} if t.area is None else {"area": t.area})
        for t in gold
    ]
    found_rows = [{**_row(g, places, categories), "score": g.confidence} for g in detections_kept]
    evaluator = COCOeval_faster(
        COCO({**frame, "annotations": _numbered(gold_rows)}),
        COCO({**frame, "annotations": _numbered(found_rows)}),
        "bbox",
        lvis_style=lvis,
        separate_eval=True,
    )
    evaluator.params.maxDets = [LVIS_MAX_FOUND if lvis else MAX_FOUND]
    return evaluator


def distinct(labels: Sequence[str]) -> list[str]:
    """Each label once, in the order given."""
    return list(dict.fromkeys(labels))


def _gold_order(gold_box: GoldBox) -> tuple[str, str, Box, bool, float]:
    return (gold_box.image, gold_box.label, gold_box.box, gold_box.crowd, gold_box.area or 0.0)


def _in_order(
    images: Sequence[EvalImage], gold_boxes: Sequence[GoldBox], detections: Sequence[Detection]
) -> list[EvalImage]:
    """The images by name, each once; every object and detection is of one of them."""
    counts = Counter(image.image for image in images)
    for image, count in counts.items():
        if count > 1:
            raise DataError(f"images: {image!r} is listed {count} times; merge its labels")
    used = {gold_box.image for gold_box in gold_boxes} | {
        detection.image for detection in detections
    }
    for image in sorted(used - set(counts)):
        raise DataError(f"images: {image!r} has boxes but is not listed; add it")
    return sorted(images)


def _most_confident(detections: Sequence[Detection]) -> list[Detection]:
    by_image: dict[str, list[Detection]] = defaultdict(list)
    for detection in detections:
        by_image[detection.image].append(detection)
    return [
        detection
        for group in by_image.values()
        for detection in sorted(
            group, key=lambda g: (-g.confidence, g.label, rank(g.box, g.confidence))
        )[:LVIS_MAX_FOUND]
    ]


def _allowed(
    detections: Sequence[Detection], gold_boxes: Sequence[GoldBox], images: Sequence[EvalImage]
) -> list[Detection]:
    allowed = {(image.image, label) for image in images for label in image.labels}
    allowed |= {(gold_box.image, gold_box.label) for gold_box in gold_boxes}
    return [detection for detection in detections if (detection.image, detection.label) in allowed]


def _image(number: int, image: EvalImage, categories: Mapping[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "width": image.width,
        "height": image.height,
        "neg_category_ids": _numbers(image.labels, categories),
        "not_exhaustive_category_ids": _numbers(image.not_exhaustive, categories),
    }


def _numbers(labels: Sequence[str], categories: Mapping[str, int]) -> list[int]:
    return [categories[label] for label in labels if label in categories]


def _row(
    entry: GoldBox | Detection,
    places: Mapping[str, tuple[int, EvalImage]],
    categories: Mapping[str, int],
) -> dict[str, Any]:
    number, image = places[entry.image]
    x1, y1, x2, y2 = entry.box or (0.0, 0.0, 0.0, 0.0)  # an empty box meets nothing
    left, top = _pixels(x1, image.width), _pixels(y1, image.height)
    width = round(_pixels(x2, image.width) - left, 6)
    height = round(_pixels(y2, image.height) - top, 6)
    return {
        "image_id": number,
        "category_id": categories[entry.label],
        "bbox": [left, top, width, height],
        "area": min(width * height, LARGEST),
    }


def _pixels(edge: float, side: int) -> float:
    return round(edge * side, 6)


def _numbered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": number, **row} for number, row in enumerate(rows, 1)]
