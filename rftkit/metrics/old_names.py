"""Summaries of before metrics had keys: `{"mAP": {...}}` becomes `[{"name": "map", ...}]`."""

from __future__ import annotations

from collections.abc import Mapping

KEYS: dict[str, tuple[str, str]] = {
    "mAP": ("map", ""),
    "AP50": ("ap50", ""),
    "AP75": ("ap75", ""),
    "mAP of rare ones": ("map_by_frequency", "rare"),
    "mAP of common ones": ("map_by_frequency", "common"),
    "mAP of frequent ones": ("map_by_frequency", "frequent"),
    "mAP of base categories": ("map_by_split", "base"),
    "mAP of new categories": ("map_by_split", "new"),
    "F1 at 0.5": ("f1_at_50", ""),
    "precision at 0.5": ("precision_at_50", ""),
    "recall at 0.5": ("recall_at_50", ""),
    "IoU of matches": ("iou_of_matches", ""),
    "right count": ("exact_count", ""),
    "count error": ("count_error", ""),
    "mIoU": ("miou", ""),
    "accuracy at 0.5": ("acc_at_50", ""),
    "circular accuracy": ("circular_accuracy", ""),
    "CV-Bench official": ("cv_bench_official", ""),
    "CV-Bench micro": ("cv_bench_micro", ""),
    "within one": ("within_one", ""),
    "mean absolute error": ("mae", ""),
    "root mean squared error": ("rmse", ""),
    "bias": ("bias", ""),
}
BEGINNINGS = {"AP of ": "ap", "accuracy on ": "accuracy_by_source"}


def with_metric_keys(values: object) -> object:
    """The values of a model's summary with `metrics`, where an old one has `figures`."""
    if not isinstance(values, Mapping) or not _are_figures(values.get("figures")):
        return values
    rest = {key: value for key, value in values.items() if key != "figures"}
    return rest | {"metrics": [_keyed(name, entry) for name, entry in values["figures"].items()]}


def _are_figures(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in value.values())


def _keyed(name: str, entry: Mapping[str, object]) -> dict[str, object]:
    lvis = str(entry.get("note", "")).startswith("LVIS")
    rules = {"rules": "lvis" if lvis else "coco"} if name == "mAP" else {}
    key, label = KEYS.get(name, (name, ""))
    for beginning, prefix in BEGINNINGS.items():
        if name.startswith(beginning):
            key, label = prefix, name.removeprefix(beginning)
    return {**entry, "name": key, "label": label, **rules}
