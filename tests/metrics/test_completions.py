"""`rftkit score`: JSON lines in, answers and rewards out; a bad line stops with its number."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rftkit.core import Style
from rftkit.errors import DataError
from rftkit.metrics.completions import score_lines

THINK = "<think>two ears</think><answer>{}</answer>"


def score(task: str, answer: str, style: Style = "think", **more: object) -> dict[str, object]:
    text = answer if style == "direct" else THINK.format(answer)
    (line,) = score_lines([json.dumps({"completion": text, **more})], task, style, "strict")
    result = json.loads(line)
    assert result.keys() == {"answer", "rewards"}
    return {"answer": result["answer"], **result["rewards"]}


def test_a_label_is_scored_against_its_list() -> None:
    listed = {"gold": "rose", "choices": ["primrose", "rose"]}
    assert score("classification", "Rose", **listed) == {
        "answer": "rose",
        "accuracy": 1,
        "format": 1,
    }
    off_list = score("classification", "tulip", **listed)
    assert off_list == {"answer": "tulip", "accuracy": 0, "format": 1}
    assert score("classification", "rose", "direct", gold="rose") == {
        "answer": "rose",
        "accuracy": 1,
    }
    assert score("classification", "", gold="rose")["answer"] is None


def test_boxes_come_back_in_the_coordinates_they_came_in() -> None:
    gold = [[64, 96, 192, 192]]
    pixels = {"gold": gold, "coords": "pixels", "size": [640, 480]}
    answer = "[{'box': [64, 96.5, 192, 192]}, [9, 9, 1, 1]]"
    result = score("detection", answer, **pixels)
    assert result["answer"] == [[64, 96.5, 192, 192], None]
    assert result["iou"] == pytest.approx(95.5 / 96 / 2)
    assert result["f1"] == pytest.approx(2 / 3)
    assert result["map_length"] == pytest.approx(1 / 2)
    assert score("detection", "No Objects", gold=[]) == {
        "answer": [],
        "iou": 1,
        "confidence": 1,
        "f1": 1,
        "map_length": 1,
        "format": 1,
    }


@pytest.mark.parametrize("gold", [[100, 200, 300, 400], [[100, 200, 300, 400]]])
def test_grounding_takes_one_box_bare_or_in_a_list(gold: object) -> None:
    result = score("grounding", "(100,200),(300,400)", "direct", gold=gold)
    assert result == {"answer": [100, 200, 300, 400], "iou": 1, "hit": 1}
    assert score("grounding", "the dog", gold=gold)["answer"] is None


def test_several_kinds_at_once_are_scored_by_kind() -> None:
    asked = {"gold": [[100, 200, 300, 400, "cat"], [500, 500, 900, 900, "red dog"]],
             "choices": ["cat", "red dog", "bird"]}  # fmt: skip
    right = (
        '[{"Label": "Cat", "Position": [100,200,300,400], "Confidence": 1},'
        ' {"Label": "red dog", "Position": [500,500,900,900], "Confidence": 1}]'
    )
    result = score("detection", right, **asked)
    assert result["answer"] == [[100, 200, 300, 400], [500, 500, 900, 900]]
    assert (result["iou"], result["f1"], result["map_length"]) == (1, 1, pytest.approx(1))
    assert score("detection", right.replace("red dog", "bird"), **asked)["iou"] == 0.5
    nothing = score("detection", "[]", gold=[], choices=["cat"])
    assert (nothing["iou"], nothing["confidence"]) == (1, 1)
    pixels = {"coords": "pixels", "size": [200, 100], "choices": ["cat"]}
    here = '[{"Label": "cat", "Position": [20,10,60,40], "Confidence": 1}]'
    assert score("detection", here, gold=[[20, 10, 60, 40, "cat"]], **pixels)["iou"] == 1


@pytest.mark.parametrize("x", range(0, 1000, 7))
def test_thousandths_come_back_unchanged(x: int) -> None:
    result = score("grounding", f"({x},0),({x + 1},1000)", gold=[0, 0, 1000, 1000])
    assert result["answer"] == [x, 0, x + 1, 1000]


def test_blank_lines_and_a_byte_order_mark_are_skipped_and_lines_stay_in_order() -> None:
    lines = ["\ufeff" + json.dumps({"completion": "a", "gold": "a"}), "", " \n"]
    lines.append(json.dumps({"completion": "b", "gold": "a", "id": 7}) + "\r\n")
    results = [
        json.loads(line) for line in score_lines(lines, "classification", "direct", "strict")
    ]
    assert [result["rewards"]["accuracy"] for result in results] == [1, 0]


def test_text_that_is_not_unicode_survives() -> None:
    (line,) = score_lines(
        ['{"completion": "\\ud800", "gold": "a"}'], "classification", "direct", "strict"
    )
    assert line.isascii()


BOX = [[100, 200, 300, 400]]


@pytest.mark.parametrize(
    ("task", "line", "says"),
    [
        ("classification", "{", "not JSON"),
        ("classification", "[" * 100_000, "not JSON"),
        ("classification", "7", "7 is not an object"),
        ("classification", {"gold": "rose"}, "no completion"),
        ("classification", {"completion": "rose"}, "no gold"),
        ("classification", {}, "no completion and no gold"),
        ("classification", {"completion": 7, "gold": "rose"}, "completion is 7"),
        ("classification", {"completion": None, "gold": "rose"}, "completion is None"),
        ("classification", {"completion": "a", "gold": 7}, "gold is 7"),
        ("classification", {"completion": "a", "gold": ""}, "gold is ''"),
        ("classification", {"completion": "a", "gold": "." * 500}, "gold is '..."),
        ("classification", {"completion": "a", "gold": "..."}, "gold is '...'"),
        ("classification", {"completion": "a", "gold": BOX}, "gold is [[100"),
        ("classification", {"completion": "a", "gold": "<answer>a</answer>"}, "holds a tag"),
        ("classification", {"completion": "a", "gold": "a", "choices": "a"}, "choices are 'a'"),
        ("classification", {"completion": "a", "gold": "a", "choices": [1]}, "choices are [1]"),
        (
            "classification",
            {"completion": "a", "gold": "a", "choices": ["b", "c"]},
            "gold 'a' is not one of the 2 choices",
        ),
        (
            "classification",
            {"completion": "a", "gold": "a", "choices": ["a", "A"]},
            "choices 'a' and 'A' read the same",
        ),
        ("detection", {"completion": "[]", "gold": "rose"}, "gold 'rose' is not a list of boxes"),
        ("detection", {"completion": "[]", "gold": BOX[0]}, "gold box 100 is not"),
        ("detection", {"completion": "[]", "gold": [[3, 2, 1, 4]]}, "gold box [3, 2, 1, 4]"),
        ("detection", {"completion": "[]", "gold": [[1, 2, float("nan"), 4]]}, "nan"),
        ("detection", {"completion": "[]", "gold": BOX * 1001}, "1001 gold boxes"),
        ("detection", {"completion": "[]", "gold": BOX, "coords": "pixels"}, "size None"),
        (
            "detection",
            {"completion": "[]", "gold": BOX, "coords": "pixels", "size": [640, 0]},
            "size [640, 0]",
        ),
        (
            "detection",
            {"completion": "[]", "gold": BOX, "coords": "pixels", "size": [200, 200]},
            "leaves the image, 200 by 200",
        ),
        ("detection", {"completion": "[]", "gold": BOX, "coords": "feet"}, "coords 'feet'"),
        (
            "detection",
            {"completion": "[]", "gold": BOX, "choices": ["cat"]},
            "gold [100, 200, 300, 400] is no box with its kind; with choices write",
        ),
        (
            "detection",
            {"completion": "[]", "gold": [[*BOX[0], "dog"]], "choices": ["cat"]},
            "gold kind 'dog' is not one of the 1 choices",
        ),
        (
            "detection",
            {"completion": "[]", "gold": [], "choices": ["cat", "Cat"]},
            "choices 'cat' and 'Cat' read the same",
        ),
        ("grounding", {"completion": "[]", "gold": BOX * 2}, "gold [[100"),
        ("grounding", {"completion": "[]", "gold": BOX * 2}, "is not one box; write [x1, y1, x2"),
        ("grounding", {"completion": "[]", "gold": []}, "gold box []"),
        ("grounding", {"completion": "[]", "gold": "x" * 500}, "gold 'xxx"),
    ],
)
def test_a_bad_line_stops_with_its_number_its_value_and_a_remedy(
    task: str, line: object, says: str
) -> None:
    good = {"completion": "a", "gold": "a" if task == "classification" else BOX}
    text = line if isinstance(line, str) else json.dumps(line)
    results = score_lines([json.dumps(good), "", text], task, "think", "strict")
    next(results)
    with pytest.raises(DataError, match=r"^standard input:3: ") as refused:
        next(results)
    message = str(refused.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 250


def test_scoring_loads_nothing_heavy() -> None:
    code = (
        "import sys, rftkit.metrics.completions; "
        "heavy = {'torch', 'numpy', 'scipy', 'transformers', 'datasets', 'PIL'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
