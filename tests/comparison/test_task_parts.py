"""What attempts add to ratio metrics sums up to what the tasks report."""

from __future__ import annotations

import pytest

from rftkit.answers import boxes
from rftkit.answers.boxes import Box
from rftkit.core import Attempt, Completion, Example, NoImage
from rftkit.measures.average_precision import Detection, EvalImage, GoldBox, map_difference_interval
from rftkit.tasks import get_task
from rftkit.tasks.task import Scored

GOLD_BOXES = boxes.dump_boxes([Box(0.1, 0.1, 0.4, 0.4), Box(0.5, 0.5, 0.9, 0.9)])
FOUND = '{{"Position": [{}], "Confidence": 1}}'
NEAR, LOOSE, AWAY = "100, 100, 400, 400", "520, 500, 900, 900", "0, 900, 90, 990"

CASES = {
    "number": ("7", ["7", "8", "12", "many", "3.5"]),
    "clock": ("03:30", ["03:30", "03:34", "9:00", "noon"]),
    "grounding": (
        boxes.dump_boxes([Box(0.1, 0.1, 0.4, 0.4)]),
        ["(100,100),(400,400)", "(100,100),(400,300)", "(0,900),(90,990)", "none"],
    ),
    "detection": (
        GOLD_BOXES,
        [f"[{FOUND.format(NEAR)}, {FOUND.format(LOOSE)}]", f"[{FOUND.format(AWAY)}]", "[]", "no"],
    ),
}


def attempts(name: str) -> list[Attempt]:
    gold, texts = CASES[name]
    task = get_task(name)
    return [
        task.attempt(
            Example(f"{place}", NoImage(f"{place}.png"), "?", gold, category="pen"),
            "direct",
            Completion(text),
        )
        for place, text in enumerate(texts)
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_parts_of_a_metric_make_its_value(name: str) -> None:
    task, tried = get_task(name), attempts(name)
    parts = [task.parts(attempt) for attempt in tried]
    keys = {key for part in parts for key in part}
    measures = {m.key: m.value for m in task.metrics([Scored(a, 0.0) for a in tried])}
    assert len(keys) >= 2
    for key in keys:
        added = [part[key] for part in parts if key in part]
        value = sum(part.total for part in added) / sum(part.weight for part in added)
        assert value == pytest.approx(measures[key]), key


def test_the_same_boxes_do_not_differ_in_map() -> None:
    task, tried = get_task("detection"), attempts("detection")
    assert task.map_difference(tried, tried) == (0, 0)


def test_more_boxes_found_are_more_map_and_the_interval_says_so() -> None:
    names = [str(number) for number in range(30)]
    images = [EvalImage(name, 100, 100, ("pen",)) for name in names]
    gold = [GoldBox(name, "pen", Box(0.1, 0.1, 0.4, 0.4), False) for name in names]
    found = [Detection(name, "pen", Box(0.1, 0.1, 0.4, 0.4), 1.0) for name in names]
    low, high = map_difference_interval(gold, (found[:6], found), images, ["pen"], "coco") or (0, 0)
    assert 0.5 < low < 0.8 < high < 1
    other = map_difference_interval(gold, (found, found[:6]), images, ["pen"], "coco")
    assert other == pytest.approx((-high, -low))


def test_without_objects_there_is_no_interval_of_map() -> None:
    images = [EvalImage("1", 10, 10, ("pen",))]
    assert map_difference_interval([], ([], []), images, ["pen"], "coco") is None
