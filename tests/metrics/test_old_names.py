"""Summaries that an earlier rftkit wrote are still read."""

from __future__ import annotations

import pytest

from rftkit.metrics.old_names import with_metric_keys


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
