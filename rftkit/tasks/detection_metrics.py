"""What detection reports beside its headline: mAP by COCO's or LVIS's rules, F1, counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean

from rftkit.answers import boxes
from rftkit.answers.boxes import LabelledBox, PredictedBox
from rftkit.answers.labels import match_label
from rftkit.core import Attempt, Example
from rftkit.measures.average_precision import (
    CocoMetrics,
    LvisMetrics,
    coco_map,
    lvis_map,
    map_difference_interval,
    map_interval,
)
from rftkit.measures.box_metrics import ImageBoxes, box_parts, measure_boxes
from rftkit.measures.coco_eval import Detection, EvalImage, GoldBox, Rules
from rftkit.measures.statistics import Interval
from rftkit.measures.values import Measure
from rftkit.tasks.annotated import found_boxes
from rftkit.tasks.task import Part, Parts, Scored

AveragePrecision = CocoMetrics | LvisMetrics


def metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """mAP over all images with its parts, F1 and counts over lists, then AP by category.

    Sources: pycocotools' and lvis-api's rules, by faster-coco-eval; see `average_precision`.
    """
    attempts = [one.attempt for one in scored]
    listed = [_listed(attempt) for attempt in attempts]
    precision, parts = _average_precision(attempts, listed)
    lists = measure_boxes(listed)
    return (
        *parts,
        *_by_frequency(precision),
        *_by_split(scored, precision),
        Measure.of("f1_at_50", lists.f1),
        Measure.of("precision_at_50", lists.precision),
        Measure.of("recall_at_50", lists.recall),
        Measure.of("iou_of_matches", lists.mean_iou),
        Measure.of("exact_count", lists.exact_count),
        Measure(name="count_error", value=lists.count_error, n=lists.images, unit="number"),
        *(Measure(name="ap", label=name, value=ap) for name, ap in precision.by_label.items()),
    )


def parts(attempt: Attempt) -> Parts:
    """What a list of boxes adds to the metrics over all boxes."""
    added = box_parts(_listed(attempt))
    return {(name, ""): Part(*part) for name, part in added.items()}


def map_difference(before: Sequence[Attempt], after: Sequence[Attempt]) -> Interval | None:
    """The interval of mAP's difference: both models' answers to the same examples, in one order."""
    images = _eval_images([attempt.example for attempt in before])
    labels = sorted({label for image in images for label in image.labels})
    rules: Rules = "lvis" if _frequencies([attempt.example for attempt in before]) else "coco"
    gold = _gold_boxes([_listed(attempt) for attempt in before])
    first, second = (
        _detections([_listed(attempt) for attempt in attempts]) for attempts in (before, after)
    )
    return map_difference_interval(gold, (first, second), images, labels, rules)


def _gold_boxes(listed: Sequence[ImageBoxes]) -> list[GoldBox]:
    return [GoldBox(o.image, g.label, g.box, g.crowd) for o in listed for g in o.gold]


def _detections(listed: Sequence[ImageBoxes]) -> list[Detection]:
    return [Detection(o.image, f.label, f.box, f.confidence) for o in listed for f in o.predicted]


def _average_precision(
    attempts: Sequence[Attempt], listed: Sequence[ImageBoxes]
) -> tuple[AveragePrecision, tuple[Measure, ...]]:
    gold_boxes, detections = _gold_boxes(listed), _detections(listed)
    images = _eval_images([attempt.example for attempt in attempts])
    labels = sorted({label for image in images for label in image.labels})
    frequency = _frequencies([attempt.example for attempt in attempts])
    rules: Rules = "lvis" if frequency else "coco"
    precision: AveragePrecision = (
        lvis_map(gold_boxes, detections, images, labels, frequency)  # type: ignore[arg-type]
        if frequency
        else coco_map(gold_boxes, detections, images, labels)
    )
    low, high = map_interval(gold_boxes, detections, images, labels, rules) or (None, None)
    stated = any(detection.confidence != 1 for detection in detections)
    note = f"{rules.upper()} rules, {'stated' if stated else 'constant'} confidences"
    n = precision.objects
    return precision, (
        Measure(name="map", value=precision.ap, low=low, high=high, n=n, note=note, rules=rules),
        Measure(name="ap50", value=precision.ap50, n=n),
        Measure(name="ap75", value=precision.ap75, n=n),
    )


def _frequencies(examples: Sequence[Example]) -> dict[str, str]:
    """LVIS's r, c or f by label; an example that asks for several has all theirs as JSON."""
    by_label: dict[str, str] = {}
    for example in examples:
        if text := example.meta.get("frequency"):
            by_label |= json.loads(text) if example.choices else {example.category: text}
    return by_label


def _by_frequency(precision: AveragePrecision) -> tuple[Measure, ...]:
    if isinstance(precision, CocoMetrics):
        return ()
    parts = {
        "rare": precision.ap_rare,
        "common": precision.ap_common,
        "frequent": precision.ap_frequent,
    }
    return tuple(Measure(name="map_by_frequency", label=k, value=v) for k, v in parts.items())


def _by_split(scored: Sequence[Scored], precision: AveragePrecision) -> tuple[Measure, ...]:
    """mAP of the categories trained on and of the others: the mean of theirs alone."""
    half_of = {one.attempt.example.category: one.half for one in scored if one.half}
    parts: dict[str, list[float]] = {"base": [], "new": []}
    for label, ap in precision.by_label.items():
        if ap is not None and label in half_of:
            parts[half_of[label]].append(ap)
    return tuple(
        Measure(name="map_by_split", label=half, value=fmean(values), n=len(values))
        for half, values in parts.items()
        if values
    )


def _listed(attempt: Attempt) -> ImageBoxes:
    """The boxes of the answer and the gold ones, each with a label that was asked for, or none."""
    example = attempt.example
    asked = example.choices
    entries = [
        PredictedBox(
            entry.box,
            entry.confidence,
            (match_label(entry.label, asked) or "") if asked else example.category,
        )
        for entry in found_boxes(attempt) or []
    ]
    crowd = _labelled(example, example.meta.get("crowd"), crowd=True)
    return ImageBoxes(example.image.name, entries, [*_labelled(example, example.gold), *crowd])


def _labelled(example: Example, text: str | None, crowd: bool = False) -> list[LabelledBox]:
    if text is None:
        return []
    listed = boxes.load_boxes(text)
    names = boxes.load_box_labels(text) or [example.category] * len(listed)
    return [LabelledBox(name, box, crowd) for name, box in zip(names, listed, strict=True)]


def _eval_images(examples: Sequence[Example]) -> list[EvalImage]:
    """Each image once, with all categories that it was asked for."""
    asked: dict[str, list[str]] = {}
    partly: dict[str, list[str]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for example in examples:
        name = example.image.name
        asked.setdefault(name, []).extend(example.choices or (example.category,))
        if text := example.meta.get("not_exhaustive"):
            own = json.loads(text) if example.choices else [example.category]
            partly.setdefault(name, []).extend(own)
        width, _, height = example.meta.get("size", "1000x1000").partition("x")
        sizes[name] = (int(width), int(height))
    return [
        EvalImage(name, *sizes[name], tuple(labels), tuple(partly.get(name, ())))
        for name, labels in asked.items()
    ]
