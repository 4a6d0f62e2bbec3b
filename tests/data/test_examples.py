"""From a recipe to examples: labels, halves, limits, repeats, and the gold check."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rftkit import tasks
from rftkit.answers import boxes
from rftkit.answers.boxes import Box
from rftkit.core import Completion, Example, Style
from rftkit.data.examples import Examples, load_examples
from rftkit.data.gold_check import gold_check, load_checked_splits
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe
from rftkit.tasks import classification

CLOTHING = Path(__file__).parents[3] / "shared/data/cls_clothing10"
GROCERY = CLOTHING.parent / "cls_grocery81"


def recipe(seed: int = 0, **data: object) -> Recipe:
    return Recipe.model_validate({"data": {"source": "jsonl", **data}, "seed": seed})


def table(root: Path, **splits: list[str]) -> Path:
    """A table with an image for each label given: `train=["a", "b"]`."""
    lines = []
    for split, labels in splits.items():
        for number, label in enumerate(labels):
            name = f"{split}-{number}.png"
            Image.new("L", (8, 8), number).save(root / name)
            lines.append(json.dumps({"image": name, "label": label, "split": split}))
    (root / "t.jsonl").write_text("\n".join(lines))
    return root / "t.jsonl"


def refusal(root: Path, split: str = "test", **splits: list[str]) -> str:
    with pytest.raises(DataError) as caught:
        load_examples(recipe(path=str(table(root, **splits))), split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def golds(found: Examples) -> list[str]:
    return [example.gold for example in found.examples]


def test_examples_carry_question_labels_and_place(tmp_path: Path) -> None:
    path = table(tmp_path, train=["b", "a", "b"], test=["a"])
    found = load_examples(recipe(path=str(path), question="Which?"), "test")
    (example,) = found.examples
    assert (example.id, example.gold, example.question) == ("test-0.png", "a", "Which?")
    assert example.choices == example.labels == found.labels == ("a", "b")
    assert (example.location, dict(example.meta)) == (f"{path}:4", {"half": "all"})


def test_the_offered_labels_follow_the_rule(tmp_path: Path) -> None:
    path = str(table(tmp_path, train=["b", "a", "b"], test=["a"]))
    assert load_examples(recipe(path=path, choices="none"), "test").examples[0].choices == ()
    paper = load_examples(recipe(path=path, choices="paper"), "train").examples
    assert {frozenset(example.choices) for example in paper} == {frozenset("ab")}


def test_shots_are_drawn_from_the_training_split_only(tmp_path: Path) -> None:
    path = str(table(tmp_path, train=["a", "b"] * 4, test=["a", "b"] * 4))
    assert Counter(golds(load_examples(recipe(path=path, shots=2), "train"))) == {"a": 2, "b": 2}
    assert len(load_examples(recipe(path=path, shots=2), "test").examples) == 8
    assert golds(load_examples(recipe(path=path), "test", limit=4)) == ["a", "b", "a", "b"]


def test_a_label_the_training_split_does_not_know_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, train=["a", "b"], test=["a", "c"])
    assert f"{tmp_path}/t.jsonl:4: label 'c' is not among the 2 of the training split" in line


def test_known_labels_may_come_from_a_run(tmp_path: Path) -> None:
    path = str(table(tmp_path, test=["a", "c"]))
    found = load_examples(recipe(path=path), "test", labels=["c", "b", "a"])
    assert found.labels == found.examples[0].choices == ("a", "b", "c")
    with pytest.raises(DataError, match="label 'c' is not among the 2"):
        load_examples(recipe(path=path), "test", labels=["a", "b"])


def test_one_class_is_refused(tmp_path: Path) -> None:
    assert "one class only: 'a'" in refusal(tmp_path, train=["a", "a"], test=["a"])


@pytest.mark.parametrize("pair", [["T-shirt", "t shirt"], ["a_b", "a b"], ["ﬁn", "fin"]])
def test_labels_that_read_the_same_are_refused(tmp_path: Path, pair: list[str]) -> None:
    line = refusal(tmp_path, "train", train=[*pair, "c"], test=["c"])
    assert all(repr(label) in line for label in pair)
    path = tmp_path / "t.jsonl"
    assert {f"{path}:1", f"{path}:2"} == {*re.findall(rf"{path}:\d", line)}
    assert "read the same" in refusal(tmp_path, train=[pair[0], "c"], test=[pair[1]])


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    assert "no row of split 'test'" in refusal(tmp_path, train=["a", "b"])


def test_a_image_listed_twice_is_kept_once_or_refused(tmp_path: Path) -> None:
    path = table(tmp_path, train=["a", "b"], test=["a"])
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + "\n" + first)
    found = load_examples(recipe(path=str(path)), "train")
    assert golds(found) == ["a", "b"]
    assert found.notes == ("split 'train': 1 rows repeat an image and its label; kept once",)
    path.write_text(path.read_text() + "\n" + first.replace('"a"', '"b"'))
    with pytest.raises(DataError) as caught:
        load_examples(recipe(path=str(path)), "train")
    wanted = f"{path}:5: image 'train-0.png' is 'b' here and 'a' at {path}:1; keep one label"
    assert str(caught.value) == wanted


@pytest.mark.parametrize(("classes", "own"), [("base", ("a", "b", "c")), ("new", ("d", "e"))])
def test_halves_train_on_one_and_are_tested_on_both(
    tmp_path: Path, classes: str, own: tuple[str, ...]
) -> None:
    path = str(table(tmp_path, train=list("edcba") * 2, test=list("abcde")))
    train = load_examples(recipe(path=path, classes=classes, shots=1), "train")
    assert {example.gold: example.choices for example in train.examples} == dict.fromkeys(own, own)
    test = load_examples(recipe(path=path, classes=classes), "test")
    assert {e.gold: e.meta["half"] for e in test.examples} == dict(
        zip("abcde", ["base", "base", "base", "new", "new"], strict=True)
    )
    assert {e.gold: e.choices for e in test.examples}["e"] == ("d", "e")
    assert all(e.labels == e.choices for e in test.examples)
    assert test.labels == train.labels == tuple("abcde")


def test_new_classes_need_no_training_images(tmp_path: Path) -> None:
    path = str(table(tmp_path, train=list("ab"), test=list("abcd")))
    for split in ("train", "test"):
        found = load_examples(recipe(path=path, classes="base"), split)
        assert found.labels == tuple("abcd")
    assert golds(load_examples(recipe(path=path, classes="base"), "train")) == ["a", "b"]


def test_halves_follow_the_label_ids_of_a_coop_split(tmp_path: Path) -> None:
    table(tmp_path, train=list("abcd"))
    listed = [[f"train-{n}.png", 3 - n, label] for n, label in enumerate("abcd")]
    (tmp_path / "s.json").write_text(json.dumps({"train": listed, "test": listed}))
    data = {"source": "coop", "path": str(tmp_path / "s.json"), "images": str(tmp_path)}
    found = load_examples(recipe(**data, classes="base"), "train")
    assert sorted(golds(found)) == ["c", "d"]


def test_splits_are_named_as_the_recipe_names_them(tmp_path: Path) -> None:
    path = str(table(tmp_path, fit=["a", "b", "b"], val=["a"], test=["b"]))
    mine = recipe(path=path, splits=["fit", "val"], shots=1)
    assert golds(load_examples(mine, "fit")) == ["a", "b"]
    assert golds(load_examples(mine, "val")) == ["a"]
    assert golds(load_examples(mine, "test")) == ["b"]


@pytest.mark.parametrize("style", ["think", "direct", "answer-first", "adaptive", "empty-think"])
def test_gold_that_can_be_read_back_passes(style: Style) -> None:
    task = tasks.get_task("classification")
    assert gold_check(task, task.sample, style)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gold": "---"}, "pets.csv:3: the gold answer '---' scores accuracy 0 (needs 1)"),
        ({"gold": "oak", "choices": ("rose", "ash")}, "scores accuracy 0"),
        ({"rationale": "a </think> inside"}, "the gold answer 'rose' scores"),
        ({"rationale": "!!!"}, "scores format 0 (needs 1) in style 'think'"),
    ],
)
def test_gold_that_cannot_earn_full_marks_is_refused(change: dict[str, object], says: str) -> None:
    task = tasks.get_task("classification")
    example = replace(task.sample, location="pets.csv:3", **change)  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        gold_check(task, example, "think")
    assert says in str(caught.value)


def boxed(box: Box) -> Example:
    task = tasks.get_task("grounding")
    return replace(
        task.sample, gold=boxes.dump_boxes([box]), location="t.jsonl:4", meta={"grid": "16x16"}
    )


def test_gold_boxes_that_text_can_hardly_say_pass_and_are_told_apart() -> None:
    task = tasks.get_task("grounding")
    assert gold_check(task, boxed(Box(0.26, 0.25, 0.5, 0.5)), "think")  # 4.16 of 16 units become 4
    sliver = boxed(Box(0.26, 0.25, 0.28, 0.5))  # a third of a unit
    for style in ("think", "direct"):
        assert not gold_check(task, sliver, style)
    with pytest.raises(DataError, match=r"^t.jsonl:4: the gold answer .* scores format 0 .needs 1"):
        gold_check(task, replace(sliver, rationale="a </think> inside"), "think")


def test_small_boxes_among_others_pass_and_a_label_that_is_lost_does_not() -> None:
    task, tiny = tasks.get_task("detection"), Box(0.01, 0.01, 0.02, 0.02)
    gold = boxes.dump_boxes([tiny, tiny, Box(0.25, 0.25, 0.5, 0.5)], ["dog", "cat", "dog"])
    example = replace(task.sample, gold=gold, choices=("cat", "dog"), meta={"grid": "16x16"})
    assert not gold_check(task, example, "think")
    with pytest.raises(DataError, match=r"scores iou 0 .*; fix the label or the rationale"):
        gold_check(task, replace(example, gold=gold.replace("cat", "<answer>")), "think")


def scene(root: Path, *categories: str) -> dict[str, Any]:
    Image.new("RGB", (20, 10)).save(root / "a.png")
    whole = {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [5, 1, 10, 5]}],
    }
    (root / "train.json").write_text(json.dumps(whole))
    return {"task": "detection", "data": {"source": "coco", "path": str(root / "{split}.json")}}


def test_one_small_box_leaves_a_note_and_refuses_nothing(tmp_path: Path) -> None:
    given = scene(tmp_path, "fox")
    whole = json.loads((tmp_path / "train.json").read_text())
    (tmp_path / "test.json").write_text(json.dumps(whole))
    whole["annotations"][0]["bbox"] = [5, 1, 0.02, 5]  # a tenth of a unit wide
    (tmp_path / "train.json").write_text(json.dumps(whole))
    training, held_out = load_checked_splits(
        Recipe.model_validate({**given, "model": {"name": "tiny"}})
    )
    assert (len(training.examples), held_out.notes) == (1, ())
    (note,) = training.notes
    assert note.startswith(
        "split 'train': in 1 of 1 examples, such as 'a.png: fox', boxes are smaller than"
    )


@pytest.mark.parametrize(
    ("bare", "options"),
    [
        (True, {}),
        (False, {"categories": "coco-8"}),
        (False, {"categories": "coco-8", "ask": "picture"}),
    ],
)
def test_images_without_a_box_that_is_asked_for_are_refused(
    tmp_path: Path, bare: bool, options: dict[str, object]
) -> None:
    given = scene(tmp_path, "gnu")
    path = tmp_path / "train.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "annotations": []} if bare else whole))
    mine = Recipe.model_validate({**given, "options": options})
    with pytest.raises(DataError) as caught:
        load_examples(mine, "train")
    assert str(caught.value).endswith(
        "split 'train': no boxes of the asked categories; annotate some, or change "
        "options.categories"
    )


@pytest.mark.parametrize("ask", ["category", "picture"])
def test_categories_that_read_the_same_are_refused(tmp_path: Path, ask: str) -> None:
    given = scene(tmp_path, "red_fox", "Red fox")
    mine = Recipe.model_validate({**given, "options": {"ask": ask, "absent": "always"}})
    with pytest.raises(DataError, match=r"^\S+json: images.0. .*: categories 'red_fox' and 'Red f"):
        load_examples(mine, "train")


NAMES = "label,aliases,kind\ncat,kitty; puss,pet\ndog,,pet\nfox,vixen,wild\n"


def named(root: Path, names: str, **splits: list[str]) -> Recipe:
    (root / "names.csv").write_text(names, "utf-8")
    data = {"source": "jsonl", "path": str(table(root, **splits))}
    return Recipe.model_validate({"data": data, "options": {"names": str(root / "names.csv")}})


def test_names_give_aliases_and_coarser_classes(tmp_path: Path) -> None:
    found = load_examples(named(tmp_path, NAMES, train=["cat", "fox"], test=["fox"]), "test")
    (example,) = found.examples
    assert example.aliases == {"kitty": "cat", "puss": "cat", "vixen": "fox"}
    assert found.levels == {"kind": {"cat": "pet", "dog": "pet", "fox": "wild"}}
    task = tasks.get_task("classification")
    for answer, right in (("Vixen", 1.0), ("puss", 0.0), ("a vixen", 0.0)):
        reply = task.attempt(example, "direct", Completion(answer))
        assert task.rewards_of(reply)["accuracy"] == right


def test_the_aircraft_ship_with_their_families_and_makers(tmp_path: Path) -> None:
    data = {
        "source": "jsonl",
        "path": str(table(tmp_path, train=["737-300", "A320"], test=["A320"])),
    }
    mine = Recipe.model_validate({"data": data, "options": {"names": "fgvc-aircraft"}})
    found = load_examples(mine, "test")
    assert {name: level["737-300"] for name, level in found.levels.items()} == {
        "family": "Boeing 737",
        "manufacturer": "Boeing",
    }


def test_labels_that_the_names_lack_are_refused(tmp_path: Path) -> None:
    mine = named(tmp_path, NAMES, train=["cat", "Fox", "wolf"], test=["cat"])
    for split in ("train", "test"):
        with pytest.raises(DataError) as caught:
            load_examples(mine, split)
        assert str(caught.value) == (
            f"options.names: {tmp_path}/names.csv has no row for 2 of the 3 labels, such as 'Fox'; "
            "add a row for each, spelled as in the data"
        )


@pytest.mark.parametrize("wanted", ["What {label} is this?", "Look at {question}"])
def test_a_question_of_the_recipe_is_filled_in(tmp_path: Path, wanted: str) -> None:
    path = str(table(tmp_path, train=["a", "b"], test=["a"]))
    (example,) = load_examples(recipe(path=path, question=wanted), "test").examples
    asked = wanted.replace("{question}", classification.QUESTION).replace("{label}", "")
    assert example.question == asked  # never the label that is asked for


def test_large_images_do_not_sit_in_memory(tmp_path: Path) -> None:
    path = table(tmp_path, train=["a", "b"] * 50, test=["a"])
    for file in tmp_path.glob("*.png"):
        file.write_bytes(file.read_bytes() + bytes(200_000))
    load_examples(recipe(path=str(path)), "train")
    tracemalloc.start()
    load_examples(recipe(path=str(path)), "train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # the files are 20 MB


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the shared data sets are not here")
def test_real_folders_and_tables_load_and_pass_the_gold_check() -> None:
    folder = recipe(source="folder", path=str(CLOTHING), shots=4)
    lines = recipe(path=str(GROCERY / "manifest.jsonl"), shots=8, choices="paper")
    for mine, train, test, labels in ((folder, 40, 160, 10), (lines, 648, 486, 81)):
        found = load_examples(mine, "train"), load_examples(mine, "test")
        assert [len(part.examples) for part in found] == [train, test]
        assert len(found[0].labels) == labels
        for example in found[0].examples:
            gold_check(tasks.get_task("classification"), example, "think")
