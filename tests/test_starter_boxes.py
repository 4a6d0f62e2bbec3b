"""`rftkit init` on annotated boxes: what is recognised, and that its recipe passes the check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from rftkit.check import check
from rftkit.errors import DataError
from rftkit.recipe_file import parse_recipe
from rftkit.recipes import write_starter
from rftkit.starter_boxes import annotated_place, boxes_recipe


def coco(folder: Path, name: str, boxes: int = 2) -> Path:
    """A COCO json of two pictures with `boxes` cats each, and a dog in the first."""
    images, annotations = [], []
    for number in (1, 2):
        file = f"{name}-{number}.png"
        Image.new("RGB", (64, 48), (40 * number, 90, 10)).save(folder / file)
        images.append({"id": number, "file_name": file, "width": 64, "height": 48})
        kinds = [1] * boxes + ([2] if number == 1 else [])
        annotations += [
            {"id": 10 * number + place, "image_id": number, "category_id": kind,
             "bbox": [4 * place, 8, 16, 16]}
            for place, kind in enumerate(kinds)
        ]  # fmt: skip
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def yolo(folder: Path) -> Path:
    for split, shade in (("train", 60), ("val", 160)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for name in "ab":
            Image.new("RGB", (64, 48), (shade, ord(name), 0)).save(
                folder / f"images/{split}/{name}.png"
            )
            (folder / f"labels/{split}/{name}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    path = folder / "data.yaml"
    path.write_text("path: .\ntrain: images/train\nval: images/val\nnames: [cat]\n")
    return path


def test_two_coco_files_make_one_recipe_that_passes(tmp_path: Path) -> None:
    coco(tmp_path, "instances_train"), coco(tmp_path, "instances_val")
    for given in (tmp_path / "instances_train.json", tmp_path):
        place = annotated_place(given)
        assert place == ("coco", str(tmp_path / "instances_{split}.json"), ("train", "val"))
    text = boxes_recipe(place)
    assert "2 pictures to train on" in text
    assert "2 categories: cat, dog" in text
    assert "fewest pictures have 'dog': 1" in text
    recipe = parse_recipe(text, "given", ["model.name=tiny"])
    assert (recipe.task, recipe.data.shots) == ("detection", 1)
    assert len(check(recipe).training.examples) == 2


def test_one_coco_file_is_divided(tmp_path: Path) -> None:
    path = coco(tmp_path, "cards")
    assert annotated_place(path) == ("coco", str(path), ("train", "test"))


def test_a_yolo_folder_is_known_by_its_yaml(tmp_path: Path) -> None:
    path = yolo(tmp_path)
    assert annotated_place(tmp_path) == annotated_place(path)
    written = write_starter(tmp_path, tmp_path / "mine.toml")
    recipe = parse_recipe(written.read_text("utf-8"), "mine", ["model.name=tiny"])
    assert (recipe.data.source, recipe.data.splits) == ("yolo", ("train", "val"))
    assert check(recipe).per_class == {"cat": (2, 2)}


def test_a_voc_folder_is_known_by_its_lists(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("train.txt", "val.txt", "cat_train.txt"):
        (lists / name).write_text("a\n")
    assert annotated_place(tmp_path) == ("voc", str(tmp_path), ("train", "val"))


def test_a_folder_of_classes_is_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    assert annotated_place(tmp_path) is None


def test_annotations_without_boxes_are_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, "cards", boxes=0)
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, "annotations": []}))
    with pytest.raises(DataError, match="no boxes in split 'train'; annotate some"):
        boxes_recipe(annotated_place(path))
