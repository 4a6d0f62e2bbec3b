"""What the metrics of summary.json are called on a page; a task's own name where none is here."""

from __future__ import annotations

from rftkit.measures.values import Measure

NAMES = {
    "map": "mAP",
    "ap50": "AP50",
    "ap75": "AP75",
    "map_by_frequency": "mAP, {} categories",
    "map_by_split": "mAP, {} categories",
    "f1_at_50": "F1@0.5",
    "precision_at_50": "precision@0.5",
    "recall_at_50": "recall@0.5",
    "iou_of_matches": "IoU of matches",
    "exact_count": "exact count",
    "ap": "AP of {}",
    "miou": "mIoU",
    "acc_at_50": "acc@0.5",
    "cv_bench_official": "CV-Bench official",
    "cv_bench_micro": "CV-Bench micro",
    "accuracy_by_source": "accuracy on {}",
    "valid_json": "valid JSON",
    "valid_schema": "fits the schema",
    "field_f1": "field F1",
    "field_accuracy": "{} right",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
}


def display_name(measure: Measure) -> str:
    """A metric's name for people.

    >>> display_name(Measure(name="map_by_split", label="base"))
    'mAP, base categories'
    >>> display_name(Measure(name="minutes_off"))
    'minutes off'
    """
    name = NAMES.get(measure.name, measure.name.replace("_", " "))
    if "{}" in name:
        return name.format(measure.label)
    return f"{name}, {measure.label}" if measure.label else name
