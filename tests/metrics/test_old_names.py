"""Summaries that an earlier rftkit wrote are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rftkit.measures.values import Measure, Record, Share
from rftkit.metrics.files import read_summary
from rftkit.metrics.old_names import with_metric_keys
from rftkit.metrics.samples import Header

VALUES: dict[str, object] = {
    "fraction": 0.5,
    "overlap": {"exact": 2},
    "overlap_skipped": {"reason": "too many", "detail": "x"},
}


@pytest.mark.parametrize(
    ("old", "key", "label"),
    [
        ("mAP", "map", ""),
        ("AP of cat", "ap", "cat"),
        ("mAP of rare ones", "map_by_frequency", "rare"),
        ("mAP of new categories", "map_by_split", "new"),
        ("accuracy on COCO", "accuracy_by_source", "COCO"),
        ("root mean squared error", "rmse", ""),
        ("something else", "something else", ""),
    ],
)
def test_a_name_in_english_becomes_a_key(old: str, key: str, label: str) -> None:
    read = with_metric_keys({"n": 2, "figures": {old: {"value": 0.5, "n": 2}}})
    assert isinstance(read, dict)
    (measure,) = read["metrics"]
    assert (measure["name"], measure["label"], measure["value"]) == (key, label, 0.5)
    assert "figures" not in read


@pytest.mark.parametrize(("note", "rules"), [("LVIS rules, x", "lvis"), ("COCO rules, x", "coco")])
def test_the_rules_of_an_old_map_were_in_its_note(note: str, rules: str) -> None:
    read = with_metric_keys({"figures": {"mAP": {"value": 0.5, "note": note}}})
    assert isinstance(read, dict)
    assert read["metrics"][0]["rules"] == rules


def test_what_is_no_old_summary_stays_as_it_is() -> None:
    assert with_metric_keys({"metrics": []}) == {"metrics": []}
    assert with_metric_keys("text") == "text"


@pytest.mark.parametrize(
    ("record", "values", "old", "new"),
    [
        (Share, {"n": 1, "accuracy": None}, "share", "fraction"),
        (Header, {"task": "choice", "style": "think", "expected": 1}, "leaks", "overlap"),
        (Header, {"task": "choice", "style": "think", "expected": 1}, "leaks_skipped",
         "overlap_skipped"),
    ],
)  # fmt: skip
def test_a_field_is_read_by_its_old_name_and_written_by_the_new_one(
    record: type[Record], values: dict[str, object], old: str, new: str
) -> None:
    value = VALUES[new]
    read = record.model_validate({**values, old: value})
    written = read.model_dump(mode="json", exclude_defaults=True)
    assert written[new] == value
    assert old not in written


def test_an_old_summary_is_read_with_todays_names() -> None:
    folder = Path(__file__).parents[1] / "data" / "run_before_rooms" / "eval" / "test"
    stored = json.loads((folder / "summary.json").read_text("utf-8"))
    summary = read_summary(folder)
    assert summary.tuned
    assert summary.difference
    assert summary.overlap
    assert summary.tuned.macro_accuracy == stored["tuned"]["class_mean"]
    assert summary.tuned.macro_f1 == stored["tuned"]["class_f1"]
    assert summary.difference.minimum_detectable_effect == stored["difference"]["smallest_visible"]
    assert summary.overlap.exact == stored["leaks"]["exact"]
    shape, kept = "with reasoning", stored["tuned"]["shapes"]
    assert summary.tuned.shapes[shape].fraction == kept[shape]["share"]


def test_an_old_measure_says_share_for_a_fraction() -> None:
    assert Measure.model_validate({"name": "miou", "unit": "share"}).unit == "fraction"
    assert Measure.model_validate({"name": "mae", "unit": "number"}).unit == "number"
