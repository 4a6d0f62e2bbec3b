"""Label Studio's exports become rows: choices, boxes in per cent, texts, numbers; or one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from annotated_files import names, noted, read, refusal, write_image, written
from hypothesis import given
from hypothesis import strategies as st

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.core import Row
from rftkit.data.sources.exports.image_names import find_image, tails
from rftkit.data.sources.exports.shapes import Extent, in_percent, turned
from rftkit.errors import DataError
from rftkit.tasks import fields, grounding, number
from rftkit.tasks.options import FieldOptions, GroundingOptions, NumberOptions
from rftkit.tasks.reading import Reading

SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}
RECT = {"x": 10, "y": 20, "width": 30.5, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}


def result(kind: str, value: dict[str, object], name: str = "", key: str = "r") -> dict[str, Any]:
    drawn = SIZE if {"x", "points"} & value.keys() else {}
    return {
        "id": key,
        "type": kind,
        "from_name": name or kind,
        "to_name": "image",
        "value": value,
        "origin": "manual",
        **drawn,
    }


def annotation(*results: object, **more: object) -> dict[str, Any]:
    made = {"id": 1, "completed_by": 1, "was_cancelled": False, "ground_truth": False}
    return {**made, "result": [*results], "lead_time": 3.2, **more}


def task(number: int, *annotations: object) -> dict[str, Any]:
    data = {"image": f"/data/upload/3/0a1b2c3d-{number}.png"}
    return {"id": number, "data": data, "annotations": [*annotations], "predictions": []}


def project(root: Path, *tasks: object) -> Path:
    for name in range(1, 4):
        write_image(root / f"{name}.png", 200, 100)
    return written(root / "export.json", [*tasks])


def all_rows(path: Path, **more: object) -> list[Row]:
    return [*read("label_studio", path, **more), *read("label_studio", path, "test", **more)]


def by_name(path: Path, **more: object) -> dict[str, Row]:
    return {row.image.name: row for row in all_rows(path, **more)}


CHOICE = result("choices", {"choices": ["red fox"]}, "kind")
OTHER = result("choices", {"choices": ["b"]}, "kind")


def test_boxes_are_exact_fractions_of_percents(tmp_path: Path) -> None:
    dog = {**RECT, "rectanglelabels": ["dog"]}
    path = project(
        tmp_path,
        task(1, annotation(result("rectanglelabels", RECT, "box", "a"))),
        task(2, annotation(result("rectanglelabels", dog, "box", "b"))),
        task(3, annotation()),
    )
    rows = by_name(path)
    assert rows["1.png"].location == f"{path}[0] (task 1)"
    assert rows["1.png"].values == {
        "image": "/data/upload/3/0a1b2c3d-1.png",
        "size": "200x100",
        "objects": (LabelledBox("cat", Box(0.1, 0.2, 0.405, 0.6)),),
        "categories": ("cat", "dog"),
    }
    assert rows["3.png"].values["objects"] == ()


def test_the_one_choices_control_is_the_label_and_the_one_rating_the_answer(
    tmp_path: Path,
) -> None:
    stars = result("rating", {"rating": 4}, "stars")
    path = project(
        tmp_path, task(1, annotation(CHOICE, stars)), task(2, annotation(CHOICE)), task(3)
    )
    rows = by_name(path)
    assert set(rows) == {"1.png", "2.png"}
    first = rows["1.png"]
    assert (first.values["label"], first.values["kind"]) == ("red fox", "red fox")
    assert (first.values["answer"], rows["2.png"].values["answer"]) == (4, None)
    (example,) = number.TASK.read(first, Reading(NumberOptions()))
    assert example.gold == "4"
    assert noted("label_studio", path)[0] == (f"{path}: 1 tasks have no annotation; left out")


def test_several_controls_are_told_apart_by_their_names(tmp_path: Path) -> None:
    size = result("choices", {"choices": ["big", "small"]}, "size_")
    path = project(tmp_path, task(1, annotation(CHOICE, size)), task(2, annotation(CHOICE, size)))
    values = by_name(path)["1.png"].values
    assert "label" not in values
    assert values["size_"] == ["big", "small"]


@pytest.mark.parametrize(
    ("annotations", "label"),
    [
        ((annotation(CHOICE, was_cancelled=True), annotation(OTHER)), "b"),
        (
            (
                annotation(OTHER, ground_truth=True, updated_at="1"),
                annotation(CHOICE, updated_at="2"),
            ),
            "b",
        ),
        (
            (
                annotation(CHOICE, updated_at="2026-01-01"),
                annotation(OTHER, updated_at="2026-01-02"),
            ),
            "b",
        ),
    ],
)  # fmt: skip
def test_one_annotation_of_several_counts(
    tmp_path: Path, annotations: tuple[object, ...], label: str
) -> None:
    path = project(tmp_path, task(1, *annotations), task(2, annotation(CHOICE)))
    assert by_name(path)["1.png"].values["label"] == label


def test_predictions_are_not_gold(tmp_path: Path) -> None:
    guessed = {**task(1), "predictions": [annotation(CHOICE)]}
    assert "no task is annotated" in refusal("label_studio", project(tmp_path, guessed))


def test_texts_of_an_image_are_fields_and_texts_in_boxes_phrases(tmp_path: Path) -> None:
    where = {k: v for k, v in RECT.items() if k != "rectanglelabels"}
    path = project(
        tmp_path,
        task(
            1,
            annotation(
                result("textarea", {"text": ["12.50"]}, "total"),
                result("datetime", {"datetime": "2026-03-07"}, "date"),
                result("rectangle", where, "bbox", "a"),
                result("labels", {**where, "labels": ["line"]}, "label", "a"),
                result("textarea", {**where, "text": ["Old Mill"]}, "transcription", "a"),
            ),
        ),
        task(2, annotation(result("textarea", {"text": ["3"]}, "total"))),
    )
    row = by_name(path)["1.png"]
    options = FieldOptions.model_validate({"fields": {"total": "number", "date": "date?"}})
    (example,) = fields.TASK.read(row, Reading(options))
    assert json.loads(example.gold) == {"total": 12.5, "date": "2026-03-07"}
    (found,) = grounding.TASK.read(row, Reading(GroundingOptions()))
    assert found.meta["phrase"] == "Old Mill"
    assert json.loads(found.gold) == [[0.1, 0.2, 0.405, 0.6]]
    assert row.values["objects"] == (LabelledBox("line", Box(0.1, 0.2, 0.405, 0.6)),)
    assert grounding.TASK.read(by_name(path)["2.png"], Reading(GroundingOptions())) == ()


def test_json_min_is_read_as_the_full_export_is(tmp_path: Path) -> None:
    def line(number: int, **more: object) -> dict[str, object]:
        own = {"id": number, "annotator": 1, "annotation_id": number, "lead_time": 2.0}
        return {"image": f"/data/upload/3/0a1b2c3d-{number}.png", **own, **more}

    path = project(
        tmp_path,
        line(1, kind="cat", updated_at="1", stars=[{"rating": 4}], box=[{**RECT, **SIZE}]),
        line(1, kind="dog", updated_at="2", stars=[{"rating": 5}], box=[{**RECT, **SIZE}]),
        line(2, kind="cat", lines=["a", "b"], tags={"choices": ["x", "y"]}),
    )
    rows = by_name(path)
    first, second = rows["1.png"].values, rows["2.png"].values
    assert (first["kind"], first["answer"]) == ("dog", 5)
    assert first["objects"] == (LabelledBox("cat", Box(0.1, 0.2, 0.405, 0.6)),)
    assert (second["lines"], second["tags"]) == (["a", "b"], ["x", "y"])
    assert any("several annotations" in note for note in noted("label_studio", path))


def test_a_turned_box_is_enclosed_and_noted(tmp_path: Path) -> None:
    value = {**RECT, "x": 50, "y": 20, "width": 20, "height": 20, "rotation": 90}
    path = project(
        tmp_path,
        task(1, annotation(result("rectanglelabels", value))),
        task(2, annotation(CHOICE)),
    )
    (thing,) = by_name(path)["1.png"].values["objects"]  # type: ignore[misc]
    # 40 × 20 pixels, a quarter turn about the corner at (100, 20): 80..100 across, 20..60 down
    assert [*thing.box] == pytest.approx([0.4, 0.2, 0.5, 0.6])
    assert any("1 boxes are rotated" in note for note in noted("label_studio", path))


@given(
    st.tuples(*[st.floats(0, 100)] * 2), st.tuples(*[st.floats(1, 50)] * 2), st.floats(-720, 720)
)
def test_what_encloses_a_turned_box_holds_its_pivot_and_area(
    corner: tuple[float, float], sides: tuple[float, float], degrees: float
) -> None:
    extent = Extent(*corner, corner[0] + sides[0], corner[1] + sides[1])
    made = turned(extent, degrees, corner)
    assert made.left - 1e-6 <= corner[0] <= made.right + 1e-6
    assert (made.right - made.left) * (made.bottom - made.top) >= sides[0] * sides[1] - 1e-6


@given(st.tuples(*[st.floats(0, 60)] * 2), st.tuples(*[st.floats(1, 40)] * 2))
def test_a_percent_is_a_hundredth_and_nothing_is_rounded(
    corner: tuple[float, float], sides: tuple[float, float]
) -> None:
    from collections import Counter

    extent = Extent(*corner, corner[0] + sides[0], corner[1] + sides[1])
    box = in_percent(extent, (640, 480), "x", Counter())
    assert tuple(box) == tuple(edge / 100 for edge in extent)


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0a1b2c3d-shop 1.png",
        "/data/local-files/?d=scans/shop%201.png",
        "s3://bucket/scans/shop%201.png",
        "https://host/x/scans/shop%201.png?sig=abc%2F",
        "scans/shop 1.png",
        "shop 1.png",
        "C:\\scans\\shop 1.png",
    ],
)
@pytest.mark.parametrize("place", ["", "images/", "scans/"])
def test_an_image_is_found_by_the_end_of_its_address(
    tmp_path: Path, address: str, place: str
) -> None:
    from rftkit.data.paths import DataPath

    write_image(tmp_path / f"{place}shop 1.png")
    root = DataPath.of(tmp_path)
    if place == "scans/" and "scans" not in address.split("?d=")[-1]:
        with pytest.raises(DataError, match=r"t: no image '.*shop 1\.png' in .*; download it"):
            find_image(root, address, "t")
    else:
        assert find_image(root, address, "t").name == f"{place}shop 1.png"


@given(st.text(max_size=80))
def test_no_address_leads_out_of_the_folder(address: str) -> None:
    for end in tails(address):
        assert not end.startswith("/")
        assert not {"..", ""} & {*end.split("/")}


GOOD = task(1, annotation(result("rectanglelabels", RECT)))
WRONG: list[tuple[object, str]] = [
    ({}, "not a list of tasks; export the project as JSON or JSON-MIN"),
    ([3], "[0]: 3 is not a task"),
    ([{**GOOD, "data": 3}], "[0] (task 1): data 3 is not an object"),
    ([{**GOOD, "annotations": 3}], "'annotations' is 3, not a list"),
    ([{**GOOD, "annotations": [3]}], "annotation 3 is not an object"),
    ([task(1, {"id": 1})], "no 'result'"),
    ([task(1, annotation(3))], "result[0]: 3 has no 'from_name'"),
    ([task(1, annotation({**CHOICE, "value": 3}))], "3 is not an object"),
    ([task(1, annotation(result("choices", {"choices": [3]})))], "choices [3] is not a list of"),
    ([task(1, annotation(result("choices", {"choices": ["<think>"]})))], "holds a tag"),
    ([task(1, annotation(result("number", {"number": True})))], "True is neither a text nor"),
    ([task(1, annotation(result("x", {**RECT, "x": "a"})))], "holds 'a', no finite number"),
    ([task(1, annotation(result("x", {**RECT, "x": 90})))], "% leaves the image"),
    ([task(1, annotation(result("x", {**RECT, "width": 0})))], "% has no area"),
    ([task(1, annotation(result("x", {"points": [[1, 2]]})))], "a polygon of 1 points"),
    (
        [task(1, annotation({**result("x", RECT), "image_rotation": 90}))],
        "the image was turned by 90°",
    ),
    (
        [task(1, annotation({**result("x", {**RECT, "rotation": 5}), "original_width": 0}))],
        "original size: 0 × 100 pixels is no size",
    ),
    ([{**GOOD, "data": {"text": "no image"}}], "no image among its data; there is text"),
    ([{**GOOD, "data": {"image": "/data/upload/9/9.png"}}, GOOD], "no image '9.png' in"),
]


@pytest.mark.parametrize(("content", "said"), WRONG)
def test_what_is_wrong_is_refused_in_a_line(tmp_path: Path, content: object, said: str) -> None:
    write_image(tmp_path / "1.png", 200, 100)
    path = written(tmp_path / "export.json", content)
    with pytest.raises(DataError) as error:
        all_rows(path)
    line = str(error.value)
    assert said in line
    assert line.startswith(str(path))
    assert "\n" not in line


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "export.json", json.dumps([GOOD])[:-9])
    assert "not JSON" in refusal("label_studio", path)


def test_the_column_of_the_image_can_be_named(tmp_path: Path) -> None:
    tasks = [task(1, annotation(CHOICE)), task(2, annotation(CHOICE))]
    for one in tasks:
        one["data"] = {"image": "x/9.png", "scan": one["data"]["image"]}
    path = project(tmp_path, *tasks)
    found = all_rows(path, columns={"image": "scan"})
    assert sorted(names(found)) == ["1.png", "2.png"]


def test_tasks_may_say_their_split(tmp_path: Path) -> None:
    tasks = [task(1, annotation(CHOICE)), task(2, annotation(CHOICE))]
    tasks[0]["data"]["split"], tasks[1]["data"]["split"] = "train", "test"
    path = project(tmp_path, *tasks)
    assert names(read("label_studio", path)) == ["1.png"]
    assert names(read("label_studio", path, "test")) == ["2.png"]
