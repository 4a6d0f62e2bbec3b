"""`rftkit init` on documents: tables of fields, and what Label Studio and CVAT export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from annotated_files import write_image, written

from rftkit.data.examples import load_examples
from rftkit.errors import DataError
from rftkit.preflight.guessed_fields import guessed
from rftkit.preflight.init import Starter, write_starter
from rftkit.recipe.toml import load_recipe
from rftkit.tasks.options import FieldOptions

CHOICES = {"from_name": "kind", "to_name": "image", "type": "choices", "id": "c"}
RECT = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}


def images(root: Path, count: int = 6) -> None:
    for number in range(count):
        write_image(root / f"{number}.png")


def started(root: Path, given: str, task: str | None = None) -> Starter:
    made = write_starter(root / given, root / "made.toml", task)
    recipe = load_recipe(root / "made.toml")
    for split in recipe.data.splits:
        assert load_examples(recipe, split).examples
    return made


def test_a_table_of_documents_gets_its_fields(tmp_path: Path) -> None:
    images(tmp_path)
    lines = [f"{n}.png,Shop {n},{n + 13}/07/2026,{n}.50,{'yes' if n % 2 else ''}" for n in range(6)]
    written(tmp_path / "receipts.csv", "\n".join(["image,shop,date,total,paid", *lines]) + "\n")
    assert started(tmp_path, "receipts.csv").taken.taken.task == "fields"
    recipe = load_recipe(tmp_path / "made.toml")
    assert isinstance(recipe.options, FieldOptions)
    kinds = {name: (f["type"], f.get("optional")) for name, f in recipe.options.fields.items()}
    assert kinds == {
        "shop": ("string", None),
        "date": ("date", None),
        "total": ("number", None),
        "paid": ("boolean", True),
    }


def test_a_column_of_objects_is_a_table_of_documents(tmp_path: Path) -> None:
    images(tmp_path)
    rows = [{"image": f"{n}.png", "answer": {"shop": f"S{n}", "total": n}} for n in range(6)]
    written(tmp_path / "receipts.jsonl", rows)
    made = started(tmp_path, "receipts.jsonl")
    assert made.taken.taken.options == {"fields": {"shop": "string", "total": "integer"}}


def test_a_table_of_labels_stays_one_and_may_be_taken_for_fields(tmp_path: Path) -> None:
    images(tmp_path)
    lines = [f"{n}.png,{'ab'[n % 2]},{n},x{n}" for n in range(6)]
    written(tmp_path / "pets.csv", "\n".join(["image,label,size,note", *lines]) + "\n")
    made = started(tmp_path, "pets.csv")
    assert made.taken.taken.task == "classification"
    assert [one.task for one, _ in made.others] == ["fields"]
    (tmp_path / "made.toml").unlink()
    assert started(tmp_path, "pets.csv", "fields").taken.taken.task == "fields"


def labelled(root: Path, inside: str) -> Path:
    images(root / inside)
    tasks = []
    for number in range(6):
        results = [
            {**CHOICES, "value": {"choices": ["ab"[number % 2]]}},
            {**CHOICES, "type": "textarea", "from_name": "shop", "value": {"text": ["x"]}},
            {**CHOICES, "type": "rectanglelabels", "from_name": "box", "value": RECT, "id": "r"},
        ]
        data = {"image": f"/data/upload/1/0a1b2c3d-{number}.png"}
        made = [{"id": 1, "was_cancelled": False, "result": results}]
        tasks.append({"id": number, "data": data, "annotations": made})
    return written(root / "project.json", tasks)


@pytest.mark.parametrize("inside", ["", "images", "scans"])
@pytest.mark.parametrize("given", ["", "project.json"])
@pytest.mark.parametrize(
    ("task", "found"),
    [(None, "detection"), ("classification", "classification"), ("fields", "fields")],
)
def test_label_studio_is_known_and_its_images_are_found(
    tmp_path: Path, inside: str, given: str, task: str | None, found: str
) -> None:
    labelled(tmp_path, inside)
    made = started(tmp_path, given, task)
    assert (made.taken.taken.task, made.taken.taken.data.source) == (found, "label_studio")
    assert {one.task for one, _ in made.others} == {
        "detection",
        "classification",
        "fields",
    } - {found}


def test_cvat_is_known_as_a_file_and_as_a_folder(tmp_path: Path) -> None:
    images(tmp_path / "images")
    shown = "".join(
        f'<image id="{n}" name="{n}.png" width="20" height="10">'
        f'<box label="cat" xtl="1" ytl="1" xbr="9" ybr="9"/></image>'
        for n in range(6)
    )
    written(tmp_path / "annotations.xml", f"<annotations>{shown}</annotations>")
    for given in ("", "annotations.xml"):
        made = started(tmp_path, given)
        assert (made.taken.taken.task, made.taken.taken.data.source) == ("detection", "cvat")
        (tmp_path / "made.toml").unlink()


def test_an_export_without_annotations_is_refused(tmp_path: Path) -> None:
    images(tmp_path)
    written(tmp_path / "p.json", [{"id": 1, "data": {"image": "0.png"}, "annotations": []}])
    with pytest.raises(DataError, match="no task is annotated"):
        write_starter(tmp_path / "p.json", tmp_path / "made.toml")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "3"], "integer"),
        (["1", "2.5", ""], "number?"),
        (["007", "012"], "string"),
        ([True, False], "boolean"),
        (["no", "yes", None], "boolean?"),
        (["1.2.2026", "2026-03-07"], "date"),
        (["EUR"] * 4 + ["USD"] * 4, ["EUR", "USD"]),
        (["EUR"] * 4 + ["USD"] * 4 + [""], ["EUR", "USD", "?"]),
        (["EUR", "USD"], "string"),
        ([["a"], ["b", "c"]], "strings"),
    ],
)
def test_a_columns_type_is_guessed_from_its_values(values: list[object], kind: object) -> None:
    assert guessed([{"a": value} for value in values])["fields"] == {"a": kind}


def test_the_order_of_dates_is_guessed_where_one_order_reads_them_all() -> None:
    dates = ["03/07/2026", "25/07/2026"]
    assert guessed([{"a": value} for value in dates]) == {
        "fields": {"a": "date"},
        "dates": "day-first",
    }


def test_empty_columns_and_names_that_no_prompt_can_carry_are_no_fields() -> None:
    assert guessed([{"a": "", "<think>": "x"}]) == {}
    assert json.dumps(guessed([]) or {}) == "{}"
