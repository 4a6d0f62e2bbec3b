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
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe

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
def test_two_phrases_about_a_image_are_two_questions(
    tmp_path: Path, name: str, columns: dict[str, str]
) -> None:
    rows: Rows = [{name: "dog", "box": [1, 2, 3, 4]}, {name: "cat", "box": [5, 6, 9, 9]}]
    found = load(tmp_path, "grounding", rows, data={"columns": columns})
    assert [example.id for example in found] == ["0.png: cat", "0.png: dog"]


def test_two_labels_on_a_image_are_two_prompts(tmp_path: Path) -> None:
    rows: Rows = [{"label": "dog", "boxes": [[1, 2, 3, 4]]}, {"label": "cat", "boxes": []}]
    assert [e.category for e in load(tmp_path, "detection", rows)] == ["cat", "dog"]


def test_questions_about_other_images_are_other_questions(tmp_path: Path) -> None:
    same = {"question": "the same?", "options": ["yes", "no"]}
    rows = [{**same, "image": ["0.png", f"{n}.png"], "answer": a} for n, a in ((1, "A"), (2, "B"))]
    assert sorted(e.gold for e in load(tmp_path, "choice", rows)) == ["no", "yes"]


@pytest.mark.parametrize(("task", "row", "says"), [
    ("grounding", {"phrase": "", "box": [1, 2, 3, 4]}, "no phrase in column 'phrase'"),
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


def test_a_half_without_images_is_refused(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("new", "says"), [
    (["cta", "dog"], "options.new: no 'cta' in the data; did you mean 'cat'?"),
    ("lvis-6", "options.new: no 'horse_buggy' in the data; there are: cat, dog"),
])  # fmt: skip
def test_a_new_category_that_the_data_have_not_is_refused(
    tmp_path: Path, new: object, says: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, "detection", BOTH, data={"classes": "base"}, options={"new": new})
    assert str(caught.value) == says


def test_a_chosen_category_that_the_data_have_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, "detection", BOTH, options={"categories": ["dog", "cta"]})
    says = "options.categories: no 'cta' in split 'train'; did you mean 'cat'?"
    assert str(caught.value) == says
    named = load(tmp_path, "detection", BOTH, options={"categories": "coco-80"})
    assert {example.category for example in named} == {"cat", "dog"}


def test_a_list_of_new_categories_may_hold_some_that_the_data_have_not(tmp_path: Path) -> None:
    more = {"data": {"classes": "base"}, "options": {"new": "coco-15"}}  # cat, and no dog
    found = load(tmp_path, "detection", BOTH, "test", **more)
    assert {e.category: e.meta["half"] for e in found} == {"cat": "new", "dog": "base"}


@pytest.mark.parametrize(("task", "options", "known"), [
    ("detection", {}, ("cat", "dog")),
    ("detection", {"ask": "picture"}, ("cat", "dog")),
    ("number", {}, ()),
])  # fmt: skip
def test_the_labels_of_a_run_are_the_kinds_that_have_a_name(
    tmp_path: Path, task: str, options: dict[str, object], known: tuple[str, ...]
) -> None:
    rows = [{**row, "image": f"{n}.png", "answer": n} for n, row in enumerate(BOTH)]
    load(tmp_path, task, rows, options=options)
    data = {"source": "jsonl", "path": str(tmp_path / "t.jsonl")}
    recipe = Recipe.model_validate({"task": task, "data": data, "options": options})
    assert load_examples(recipe, "train").labels == known


def csv(folder: Path, task: str, *lines: str) -> tuple[list[Example], list[str]]:
    """The examples of both splits of a CSV, and what is noted."""
    for shade in range(20):
        Image.new("L", (8, 8), shade).save(folder / f"{shade}.png")
    (folder / "t.csv").write_text("\n".join(lines))
    data = {"source": "csv", "path": str(folder / "t.csv")}
    both = [
        load_examples(Recipe.model_validate({"task": task, "data": data}), split)
        for split in ("train", "test")
    ]
    return [e for part in both for e in part.examples], [n for part in both for n in part.notes]


def test_boxes_stand_in_a_cell_of_a_csv_as_json(tmp_path: Path) -> None:
    found, _ = csv(
        tmp_path, "detection", "image,label,boxes,grid,split",
        '0.png,cat,"[[2, 4, 6, 8], [0, 0, 1, 1]]",8x8,train', "1.png,cat,[],8x8,test",
    )  # fmt: skip
    assert [e.gold for e in found] == ["[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.125, 0.125]]", "[]"]
    phrases, _ = csv(
        tmp_path, "grounding", "image,phrase,box,split",
        '0.png,the cat,"[100, 200, 300, 400]",train', '1.png,the dog,"[0, 0, 1, 1]",test',
    )  # fmt: skip
    assert phrases[0].gold == "[[0.1, 0.2, 0.3, 0.4]]"
    with pytest.raises(DataError, match=r"t\.csv:2: gold '\[\[1, 2, 3' is not a list of boxes"):
        csv(tmp_path, "detection", "image,label,boxes,split", '0.png,cat,"[[1, 2, 3",train')


def test_counts_under_label_are_divided_as_questions_not_as_classes(tmp_path: Path) -> None:
    lines = [f"{number}.png,{number}" for number in range(20)]
    found, notes = csv(tmp_path, "number", "image,label", *lines)
    assert len(found) == 20
    assert len({e.id for e in found}) == 20
    assert all("one image in 5 is held out" in note for note in notes)


def test_phrases_under_another_name_are_asked_for(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    line = {"image": "0.png", "said": "the dog", "box": [1, 2, 3, 4], "split": "train"}
    (tmp_path / "t.jsonl").write_text(json.dumps(line))
    data = {"source": "refs", "path": str(tmp_path / "t.jsonl"), "columns": {"phrase": "said"}}
    recipe = Recipe.model_validate({"task": "grounding", "data": data})
    (one,) = load_examples(recipe, "train").examples
    assert one.question == "Where in this picture is this: the dog?"


def test_sft_says_that_it_does_not_use_the_length_reward() -> None:
    text = '[data]\nsource = "digits"\n[method]\nkind = "{}"\n[method.length]\nweight = 0.5'
    (said,) = parse_recipe(text.format("sft"), "mine.toml").notes()
    assert said == 'method.length: SFT pays no rewards and does not use it; "grpo" does'
    assert "SFT" not in "".join(parse_recipe(text.format("grpo"), "mine.toml").notes())


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
