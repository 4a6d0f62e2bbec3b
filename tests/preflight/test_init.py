"""The recipe that `rftkit init` writes: it loads, fits the data, and names what else is there."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rftkit.data.examples import load_examples
from rftkit.data.reply_budget import counter, reply_tokens
from rftkit.errors import DataError, RecipeError
from rftkit.preflight.check import check
from rftkit.preflight.init import Starter, write_starter
from rftkit.recipe.builtin import find_recipe
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import load_recipe

CLOTHING = Path(__file__).parents[3] / "shared/data/cls_clothing10"


def images(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (30, 20), number % 256).save(root / name)
    return root


def classes(root: Path, *splits: str, count: int = 3) -> Path:
    labels, numbers = ("maine_coon", "dog"), range(count)
    return images(root, *[f"{s}/{c}/{s}{n}.png" for s in splits for c in labels for n in numbers])


def coco(root: Path, name: str, boxes: int = 1) -> Path:
    """A COCO json beside the image that it names, which holds so many cats."""
    images(root, f"{name}.png")
    path = root / f"{name}.json"
    entries = [{"id": n, "image_id": 1, "category_id": 1, "bbox": [n % 20, 2, 8, 9]}
               for n in range(boxes)]  # fmt: skip
    told = {"images": [{"id": 1, "file_name": f"{name}.png", "width": 30, "height": 20}],
            "annotations": entries, "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    path.write_text(json.dumps(told))
    return path


def made(given: Path, tmp_path: Path, **more: Any) -> tuple[Starter, Recipe]:
    starter = write_starter(given, tmp_path / "mine.toml", **more)
    return starter, load_recipe(starter.file, ["model.name=tiny"])


def found(starter: Starter) -> str:
    return "\n".join(starter.taken.found)


def test_all_images_of_class_folders_are_used(tmp_path: Path) -> None:
    starter, recipe = made(classes(tmp_path / "pets", "train", "test"), tmp_path)
    assert (recipe.task, recipe.data.shots, recipe.data.splits) == (
        "classification", 0, ("train", "test"),
    )  # fmt: skip
    assert len(check(recipe).training.examples) == 6
    assert found(starter).splitlines() == [
        "6 images to train on, 6 to test on",
        "2 classes: dog, maine coon",
        "fewest training images: 3, of 'dog'",
    ]


def test_fewer_shots_are_asked_for_and_the_rest_is_counted(tmp_path: Path) -> None:
    starter, recipe = made(classes(tmp_path / "pets", "train", "test"), tmp_path, shots=2)
    assert recipe.data.shots == 2
    assert "4 of 6 training images are used (data.shots = 2)" in found(starter)
    assert "4 of 6 training images are used (data.shots = 2)" in " ".join(check(recipe).notes)


def test_labels_are_written_as_people_write_them(tmp_path: Path) -> None:
    _, recipe = made(classes(tmp_path / "pets", "train", "test"), tmp_path)
    assert "maine coon" in check(recipe).prompt
    renamed = load_examples(recipe, "test", labels=("Maine_Coon", "dog"))  # as an older run has it
    assert {e.gold for e in renamed.examples} == {"Maine_Coon", "dog"}


def test_classes_without_splits_are_divided(tmp_path: Path) -> None:
    root = images(tmp_path / "pets", *[f"{c}/{n}.png" for c in "ab" for n in "1234"])
    starter, recipe = made(root, tmp_path)
    assert len(load_examples(recipe, "train").examples) == 6
    assert len(load_examples(recipe, "test").examples) == 2
    assert "one image in 5 of each class is held out" in found(starter)


def test_a_validation_split_chooses_the_step(tmp_path: Path) -> None:
    starter, recipe = made(classes(tmp_path / "pets", "Train", "test", "valid"), tmp_path)
    assert recipe.data.splits == ("Train", "test")
    assert (recipe.eval.validation, recipe.eval.during) == ("valid", 50)
    assert "split 'valid' chooses the step that is kept" in found(starter)
    (tmp_path / "b").mkdir()
    _, recipe = made(classes(tmp_path / "pets2", "train", "val"), tmp_path / "b")
    assert (recipe.data.splits, recipe.eval.validation) == (("train", "val"), "")


def test_what_else_is_there_is_said_with_the_command_that_takes_it(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets", "train", "test")
    for name in ("body_train", "body_test", "heads_train", "heads_test"):
        coco(root, name)
    starter, recipe = made(root, tmp_path)
    assert recipe.task == "classification"
    commands = [command for _, command in starter.others]
    assert commands == [f"rftkit init {root} --task detection"] * 2
    (tmp_path / "b").mkdir()
    starter, recipe = made(root, tmp_path / "b", task="detection")
    assert recipe.task == "detection"
    assert os.path.normpath(recipe.data.path) == f"{root}/body_{{split}}.json"
    assert [command for _, command in starter.others] == [
        f"rftkit init {root} --task classification",
        f"rftkit init {root}/heads_train.json",
    ]
    assert check(recipe).per_class == {"cat": (1, 1)}
    with pytest.raises(DataError, match="nothing for --task grounding there; found: class"):
        write_starter(root, tmp_path / "c.toml", "grounding")


@pytest.mark.parametrize(
    ("annotations", "pictures", "path", "kept"),
    [
        ("{}.json", "{}", "../coco/{split}.json", "../coco/{split}"),
        ("{}.json", "images", "../coco/{split}.json", "../coco/images"),
        ("annotations/instances_{}2017.json", "{}2017",
         "../coco/annotations/instances_{split}.json", "../coco/{split}"),
        ("annotations/instances_{}.json", "images/{}",
         "../coco/annotations/instances_{split}.json", "../coco/images/{split}"),
        ("{}/_annotations.coco.json", "{}", "../coco/{split}/_annotations.coco.json", ""),
    ],
)  # fmt: skip
def test_the_usual_layouts_of_coco_are_found(
    tmp_path: Path, annotations: str, pictures: str, path: str, kept: str
) -> None:
    root = tmp_path / "coco"
    for split in ("train", "val"):
        written = coco(tmp_path / split, split)
        image, table = root / pictures.format(split), root / annotations.format(split)
        image.mkdir(parents=True, exist_ok=True), table.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / split / f"{split}.png").rename(image / f"{split}.png")
        written.rename(table)
    (tmp_path / "recipes").mkdir()
    _, recipe = made(root, tmp_path / "recipes")
    data = recipe.data
    beside = [os.path.relpath(part, tmp_path / "recipes") if part else ""
              for part in (data.path, data.images)]  # fmt: skip
    assert beside == [path, kept]
    assert check(recipe).problems == ()
    assert check(recipe).per_class == {"cat": (1, 1)}


@pytest.mark.parametrize(
    ("annotations", "pictures"),
    [("annotations/instances_train.json", "images/train"), ("annotations/instances.json", "images"),
     ("annotations/instances.json", "images/train"), ("train.json", "train")],
)  # fmt: skip
def test_one_coco_file_is_divided_wherever_its_images_are(
    tmp_path: Path, annotations: str, pictures: str
) -> None:
    root = tmp_path / "coco"
    (root / pictures).mkdir(parents=True)
    names = [f"{number}.png" for number in range(10)]
    images(root / pictures, *names)
    told = {
        "images": [{"id": n, "file_name": name, "width": 30, "height": 20}
                   for n, name in enumerate(names)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [n, 2, 8, 9]}
                        for n in range(10)],
        "categories": [{"id": 1, "name": "cat"}],
    }  # fmt: skip
    (root / annotations).parent.mkdir(exist_ok=True)
    (root / annotations).write_text(json.dumps(told))
    _, recipe = made(root, tmp_path)
    assert check(recipe).problems == ()
    assert check(recipe).per_class == {"cat": (8, 2)}


@pytest.mark.parametrize(("name", "said"), [
    ("petz", "no such file or folder; did you mean .*pets?"),
    ("a/b.yaml", "no such file or folder"),
    ("nothing.json", "no such file or folder; check the path"),
])  # fmt: skip
def test_what_is_not_there_is_said_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    classes(tmp_path / "pets", "train", "test")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said):
        write_starter(Path(name), tmp_path / "x.toml")


def test_several_bad_rows_leave_a_recipe_that_check_lists_them_by(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(6)]
    images(tmp_path, *names)
    rows = [(name, "cat" if n % 2 else "dog", "test" if n < 2 else "train")
            for n, name in enumerate([*names, "gone.png", "lost.png"])]  # fmt: skip
    file = table(tmp_path / "labels.csv", ("image", "label", "split"), *rows)
    with pytest.raises(DataError, match=r"gone.png.*\(and 1 more.*wrote .*x.toml"):
        write_starter(file, tmp_path / "x.toml")
    (first, second) = check(load_recipe(tmp_path / "x.toml", ["model.name=tiny"])).problems
    assert "no file 'gone.png'" in first
    assert "no file 'lost.png'" in second


def test_a_column_that_names_splits_under_another_name_is_pointed_out(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(8)]
    images(tmp_path, *names)
    rows = [(name, "cat" if n % 2 else "dog", "test" if n < 2 else "train")
            for n, name in enumerate(names)]  # fmt: skip
    file = table(tmp_path / "labels.csv", ("image", "label", "subset"), *rows)
    starter = write_starter(file, tmp_path / "x.toml")
    assert "column 'subset' names splits and is not used: call it 'split'" in found(starter)


def table(path: Path, header: Sequence[str], *rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_a_table_of_labels_gets_its_columns(tmp_path: Path) -> None:
    images(tmp_path / "cats" / "pictures", *[f"{n}.png" for n in range(8)])
    rows = [(f"{n}.png", "cat" if n % 2 else "dog") for n in range(8)]
    path = table(tmp_path / "cats" / "pets.csv", ("filename", "class"), *rows)
    starter, recipe = made(path, tmp_path)
    assert recipe.data.columns == {"image": "filename", "label": "class"}
    assert recipe.data.images == str(tmp_path / "cats" / "pictures")
    assert "6 images to train on, 2 to test on" in found(starter)
    assert check(recipe).per_class == {"cat": (3, 1), "dog": (3, 1)}
    _, again = made(tmp_path / "cats", tmp_path / "cats")
    assert (again.data.path, again.data.source) == (str(path), "csv")


def test_tables_of_splits_are_taken_together(tmp_path: Path) -> None:
    images(tmp_path / "t", "a.png", "b.png")
    for name in ("train", "test", "val"):
        table(tmp_path / "t" / f"{name}.csv", ("image", "label"), ("a.png", "x"), ("b.png", "y"))
    _, recipe = made(tmp_path / "t", tmp_path)
    assert (recipe.data.path, recipe.data.splits) == (str(tmp_path / "t"), ("train", "test"))
    assert recipe.eval.validation == "val"


@pytest.mark.parametrize(
    ("header", "row", "task"),
    [
        (("image", "question", "answer"), ("a.png", "How many?", 3), "number"),
        (("image", "question", "options", "answer"), ("a.png", "?", '["x", "y"]', "x"), "choice"),
        (("image", "phrase", "box"), ("a.png", "the cat", "[1, 2, 9, 9]"), "grounding"),
        (("img", "species"), ("a.png", "cat"), "classification"),
    ],
)  # fmt: skip
def test_a_table_says_by_its_columns_what_it_is_for(
    tmp_path: Path, header: tuple[str, ...], row: tuple[object, ...], task: str
) -> None:
    from rftkit.preflight.findings import findings

    images(tmp_path, "a.png")
    path = table(tmp_path / "t.csv", header, row)
    (one,) = findings(path)
    assert one.task == task


def test_a_table_of_nothing_known_names_its_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column looks like an image \(a, b\); rename one"):
        write_starter(table(tmp_path / "t.csv", ("a", "b"), (1, 2)), tmp_path / "x.toml")
    with pytest.raises(DataError, match=r"no column looks like a label or an answer \(file, b\)"):
        write_starter(table(tmp_path / "u.csv", ("file", "b"), (1, 2)), tmp_path / "x.toml")


def test_conversations_and_phrases_get_recipes(tmp_path: Path) -> None:
    images(tmp_path, *[f"{n}.png" for n in range(4)])
    talks = [{"image": f"{n}.png", "conversations": [{"from": "human", "value": "<image>\nCount."},
                                                    {"from": "gpt", "value": str(n)}]}
             for n in range(4)]  # fmt: skip
    (tmp_path / "talks.json").write_text(json.dumps(talks))
    _, recipe = made(tmp_path / "talks.json", tmp_path)
    assert (recipe.task, recipe.data.source) == ("number", "llava")
    lines = [json.dumps({"image": f"{n}.png", "phrase": "the cat", "bbox": [1, 2, 9, 9]}) + "\n"
             for n in range(4)]  # fmt: skip
    (tmp_path / "refs.jsonl").write_text("".join(lines))
    (tmp_path / "b").mkdir()
    _, recipe = made(tmp_path / "refs.jsonl", tmp_path / "b")
    assert (recipe.task, recipe.data.source) == ("grounding", "refs")


def test_a_data_set_of_the_hub_is_described_by_its_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    labels = datasets.ClassLabel(names=["a", "b"])
    kinds = datasets.Features({"image": datasets.Image(), "species": labels})
    cells = [{"image": Image.new("RGB", (9, 9), (n, 0, 0)), "species": n % 2} for n in range(10)]
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_list(cells, features=kinds).to_parquet(
        tmp_path / "set" / "train-00000-of-00001.parquet"
    )
    starter, recipe = made(tmp_path / "set", tmp_path)
    assert recipe.data.source == "hub"
    assert recipe.data.columns == {"label": "species"}
    assert recipe.data.splits == ("train[:80%]", "train[80%:]")
    assert "8 images to train on, 2 to test on" in found(starter)


def test_the_longest_answer_fits_with_a_thought(tmp_path: Path) -> None:
    root = tmp_path / "cells"
    coco(root, "train"), coco(root, "test", boxes=60)
    starter = write_starter(root, tmp_path / "mine.toml")
    recipe = load_recipe(starter.file)
    assert recipe.method.max_new_tokens > 1200  # sixty boxes in the test split
    assert not [note for note in check(recipe).notes if "do not fit" in note]
    short = load_recipe(starter.file, ["method.max_new_tokens=480"])
    (note,) = [note for note in check(short).notes if "do not fit" in note]
    assert note.startswith("1 of 1 test answers do not fit into method.max_new_tokens = 480: the l")
    assert int(note.rpartition(" ")[2]) > 1200


def test_a_local_tokenizer_counts_the_answers_itself() -> None:
    """The estimate for today's vocabularies would say that no digit fits into quickstart's 32."""
    quickstart = load_recipe(find_recipe(Path("quickstart")))
    assert quickstart.method.max_new_tokens == 32
    assert not [note for note in check(quickstart).notes if "do not fit" in note]
    count = counter(quickstart)
    assert count("<answer>7</answer>") < reply_tokens("<answer>7</answer>")


def test_the_recipe_moves_with_its_data(tmp_path: Path) -> None:
    home = tmp_path / "project"
    classes(home / "pets", "train", "test")
    write_starter(home / "pets", home / "pets.toml")
    home.rename(tmp_path / "moved")
    recipe = load_recipe(tmp_path / "moved" / "pets.toml")
    assert recipe.data.path == str(tmp_path / "moved" / "pets")
    assert len(load_examples(recipe, "train").examples) == 6


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "ünï 🙂", "br{a}ce", "del\x7f", "#hash"])
def test_any_folder_name_is_quoted(tmp_path: Path, name: str) -> None:
    root = images(tmp_path / name, "a/1.png", "a/2.png", "b{x}/1.png", "b{x}/2.png")
    _, recipe = made(root, tmp_path)
    assert Path(recipe.data.path) == root


@pytest.mark.parametrize("broken", ["\n", "\r\n", "\x85", "\u2028", "\x1b]0;own\x07"])
def test_a_name_in_a_comment_adds_no_key(tmp_path: Path, broken: str) -> None:
    images(tmp_path, *(f"{number}.png" for number in range(8)))
    column = f'x{broken}rules = "paper"{broken}seed = 77{broken}#'
    with (tmp_path / "t.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", column])
        table.writerows([f"{number}.png", "ab"[number % 2], "q"] for number in range(8))
    starter, recipe = made(tmp_path / "t.csv", tmp_path)
    assert recipe.rules != "paper"
    assert recipe.seed != 77
    text = starter.file.read_text()
    assert text.replace("\n", "").isprintable()
    assert "rules = " in text


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "no class folders"),
        (("train/a/1.png",), "'train' has no test folder beside it"),
        (("val/a/1.png",), "'val' has no train folder"),
        (("a/1.png", "b/1.png", "b/2.png"), "one image; it needs two"),
        (("a/1\n.png",), "unreadable characters"),
        (("a\n/1.png",), "unreadable characters"),
    ],
)
def test_folders_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, names: tuple[str, ...], says: str
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    with pytest.raises(DataError, match=says):
        write_starter(images(root, *names), tmp_path / "x.toml")
    with pytest.raises(DataError, match="no such file or folder"):
        write_starter(tmp_path / "none", tmp_path / "x.toml")


def test_no_file_is_written_over(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets", "train", "test")
    (tmp_path / "mine.toml").write_text("mine")
    with pytest.raises(RecipeError, match="is there already"):
        made(root, tmp_path)
    assert (tmp_path / "mine.toml").read_text() == "mine"


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the shared data sets are not here")
def test_a_real_folder_gets_a_recipe_that_loads_its_data(tmp_path: Path) -> None:
    _, recipe = made(CLOTHING, tmp_path)
    assert len(load_examples(recipe, "train").examples) == 160
    assert len(load_examples(recipe, "test").examples) == 160
