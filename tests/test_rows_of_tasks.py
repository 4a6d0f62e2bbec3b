"""Rows of tables as each task reads them: what tells two apart, what a cell may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rftkit.core import Example
from rftkit.data.examples import load_examples
from rftkit.errors import DataError, RecipeError
from rftkit.recipe import Recipe
from rftkit.recipe_file import parse_recipe

Rows = list[dict[str, object]]


def load(
    folder: Path, task: str, rows: Rows, split: str = "train", **more: Any
) -> tuple[Example, ...]:
    folder.mkdir(exist_ok=True)
    for shade in range(3):
        Image.new("L", (8, 8), shade).save(folder / f"{shade}.png")
    lines = [
        {"image": "0.png", **row, "split": split} for row in rows for split in ("train", "test")
    ]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = {"source": "jsonl", "path": str(folder / "t.jsonl"), **more.pop("data", {})}
    return load_examples(
        Recipe.model_validate({"task": task, "data": data, **more}), split
    ).examples


def test_a_phrase_fills_the_question_of_the_recipe(tmp_path: Path) -> None:
    rows: Rows = [{"phrase": "the dog", "box": [1, 2, 3, 4]}]
    (one,) = load(tmp_path, "grounding", rows, data={"question": "Box of {phrase}."})
    assert one.question == "Box of the dog."


@pytest.mark.parametrize(("name", "columns"), [("label", {}), ("sent", {"phrase": "sent"})])
def test_two_phrases_about_a_picture_are_two_questions(
    tmp_path: Path, name: str, columns: dict[str, str]
) -> None:
    rows: Rows = [{name: "dog", "box": [1, 2, 3, 4]}, {name: "cat", "box": [5, 6, 9, 9]}]
    found = load(tmp_path, "grounding", rows, data={"columns": columns})
    assert [example.id for example in found] == ["0.png: cat", "0.png: dog"]


def test_two_labels_on_a_picture_are_two_prompts(tmp_path: Path) -> None:
    rows: Rows = [{"label": "dog", "boxes": [[1, 2, 3, 4]]}, {"label": "cat", "boxes": []}]
    assert [e.category for e in load(tmp_path, "detection", rows)] == ["cat", "dog"]


def test_questions_about_other_pictures_are_other_questions(tmp_path: Path) -> None:
    same = {"question": "the same?", "options": ["yes", "no"]}
    rows = [{**same, "image": ["0.png", f"{n}.png"], "answer": a} for n, a in ((1, "A"), (2, "B"))]
    assert sorted(e.gold for e in load(tmp_path, "choice", rows)) == ["no", "yes"]


@pytest.mark.parametrize(("task", "row", "says"), [
    ("grounding", {"phrase": "a <answer>b</answer>", "box": [1, 2, 3, 4]}, "holds a tag"),
    ("detection", {"label": "<think>", "boxes": [[1, 2, 3, 4]]}, "holds a tag"),
    ("grounding", {"phrase": "b", "box": [1, 2, 3, 4], "grid": "640*480"}, "grid '640*480'"),
    ("detection", {"label": "b", "boxes": [[1, 2, 3, 4]], "grid": "0x0"}, "grid '0x0'; write"),
    ("detection", {"label": "b", "boxes": [[1, 2, 3, 4]], "grid": [9, 9]}, "grid [9, 9]; write"),
    ("choice", {"question": "q?", "A": "ax", "C": "cx", "answer": "C"}, "lettered A, C; use A, B"),
])  # fmt: skip
def test_a_cell_that_cannot_be_meant_is_refused(
    tmp_path: Path, task: str, row: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, task, [row])
    assert str(caught.value).startswith(f"{tmp_path}/t.jsonl:1: ")
    assert says in str(caught.value)


def test_an_option_may_be_the_number_zero(tmp_path: Path) -> None:
    (one,) = load(tmp_path, "choice", [{"question": "q?", "A": 0, "B": 1, "C": 2, "answer": "A"}])
    assert (one.gold, {*one.choices}) == ("0", {"0", "1", "2"})


def test_the_order_of_options_does_not_hang_on_where_the_file_is(tmp_path: Path) -> None:
    rows: Rows = [{"question": "q?", "options": list(map(str, range(20, 32))), "answer": "20"}]
    first, second = (load(tmp_path / name, "choice", rows)[0].choices for name in ("a", "b"))
    assert first == second


def test_options_that_are_letters_are_not_rotated(tmp_path: Path) -> None:
    rows: Rows = [{"question": "Which corner?", "options": ["A", "B", "C"], "answer": "A"}]
    found = load(tmp_path, "choice", rows, "test", options={"circular": True})
    assert [example.choices for example in found] == [("A", "B", "C")]


BOTH: Rows = [{"label": "cat", "boxes": [[1, 2, 3, 4]]}, {"label": "dog", "boxes": [[1, 2, 3, 4]]}]


def test_a_half_without_pictures_is_refused(tmp_path: Path) -> None:
    data, options = {"classes": "base"}, {"new": ["cat", "dog"]}
    with pytest.raises(
        DataError, match=r"data\.classes: 'base' has nothing to train on in 'train'"
    ):
        load(tmp_path, "detection", BOTH, data=data, options=options)


def test_both_splits_are_halved_alike(tmp_path: Path) -> None:
    halves = {}
    for split in ("train", "test"):
        found = load(tmp_path, "detection", BOTH, split, data={"classes": "base"})
        halves[split] = {example.category: example.meta["half"] for example in found}
    assert halves == {"train": {"cat": "base"}, "test": {"cat": "base", "dog": "new"}}


@pytest.mark.parametrize(("text", "says"), [
    ('task = "detection"\n[options]\nask = "picture"\n[data]\nsource = "coco"\npath = "x"\n'
     'classes = "base"', 'data.classes: with options.ask = "picture" all categories are asked'),
    ('[data]\nsource = "digits"\n[rewards]\n"a.py:x" = 1\n"b.py:x" = 1', "rewards: two are called"),
    ('[data]\nsource = "digits"\n[rewards]\n"a.py:accuracy" = 1', "rewards: two are called 'acc"),
    ('[data]\nsource = "digits"\n[method.length]\nwieght = 1',
     "method.length.wieght: unknown key; did you mean 'weight'?"),
    ('[data]\nsource = "digits"\n[method.length]\ntarget = "atuo"',
     "method.length.target: should be 'auto', not 'atuo'"),
    ('[data]\nsource = "digits"\n[method.length]\nkind = "window"',
     "method.length.window: give [fewest, most]"),
])  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(text: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "mine.toml")
    assert str(caught.value).startswith(f"mine.toml: {says}")
