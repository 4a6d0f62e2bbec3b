"""`rftkit init` on annotated boxes: what is recognised, and that its recipe passes the check."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from rftkit.data import rows
from rftkit.data.detect import annotations_at
from rftkit.errors import DataError
from rftkit.preflight.check import check
from rftkit.preflight.init import write_starter
from rftkit.recipe.sections import Data
from rftkit.recipe.toml import load_recipe


def coco(folder: Path, name: str, boxes: int = 2) -> Path:
    """A COCO json of two images with `boxes` cats each, and a dog in the first."""
    images, annotations = [], []
    for number in (1, 2):
        file = f"{name}-{number}.png"
        Image.new("RGB", (64, 48), (40 * number, 90, 10)).save(folder / file)
        images.append({"id": number, "file_name": file, "width": 64, "height": 48})
        kinds = [1] * boxes + ([2] if number == 1 else [])
        annotations += [
            {"id": 10 * number + location, "image_id": number, "category_id": kind,
             "bbox": [4 * location, 8, 16, 16]}
            for location, kind in enumerate(kinds)
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


def starter(given: Path, out: Path) -> str:
    """The text of the recipe that is written for some data."""
    return write_starter(given, out).file.read_text("utf-8")


def test_two_coco_files_make_one_recipe_that_passes(tmp_path: Path) -> None:
    coco(tmp_path, "instances_train"), coco(tmp_path, "instances_val")
    for given in (tmp_path / "instances_train.json", tmp_path):
        location = annotations_at(given)
        assert location == ("coco", str(tmp_path / "instances_{split}.json"), ("train", "val"), "")
    text = starter(tmp_path, tmp_path / "mine.toml")
    assert "2 images to train on" in text
    assert "2 categories: cat, dog" in text
    assert "fewest training images: 1, of 'dog'" in text
    recipe = load_recipe(tmp_path / "mine.toml", ["model.name=tiny"])
    assert (recipe.task, recipe.data.shots) == ("detection", 0)
    assert len(check(recipe).training.examples) == 3


def test_one_coco_file_is_divided(tmp_path: Path) -> None:
    path = coco(tmp_path, "cards")
    assert annotations_at(path) == ("coco", str(path), ("train", "test"), "")


def test_a_yolo_folder_is_known_by_its_yaml(tmp_path: Path) -> None:
    path = yolo(tmp_path)
    assert annotations_at(tmp_path) == annotations_at(path)
    recipe = load_recipe(write_starter(tmp_path, tmp_path / "mine.toml").file, ["model.name=tiny"])
    assert (recipe.data.source, recipe.data.splits) == ("yolo", ("train", "val"))
    assert check(recipe).per_class == {"cat": (2, 2)}


def test_a_voc_folder_is_known_by_its_lists(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("train.txt", "val.txt", "cat_train.txt"):
        (lists / name).write_text("a\n")
    assert annotations_at(tmp_path) == ("voc", str(tmp_path), ("train", "val"), "")


def test_a_folder_of_classes_is_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    assert annotations_at(tmp_path) is None


def test_annotations_without_boxes_are_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, "cards", boxes=0)
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, "annotations": []}))
    with pytest.raises(DataError, match="no boxes of the asked categories; annotate some"):
        write_starter(path, tmp_path / "mine.toml")


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder.parent))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_archive_is_looked_into(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "cards").mkdir()
    coco(tmp_path / "cards", "train"), coco(tmp_path / "cards", "val")
    path = zipped(tmp_path / "cards", tmp_path / "my.zip")
    file = write_starter(path, tmp_path / "boxes.toml").file
    recipe = load_recipe(file, ["model.name=tiny"])
    assert recipe.data.path == f"{path}/cards/{{split}}.json"
    assert len(check(recipe).training.examples) == 3
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGB", (64, 48), (90 * number, 0, 0)).save(
                tmp_path / f"pets/{name}/{name}{number}.png"
            )
    path = zipped(tmp_path / "pets", tmp_path / "pets.zip")
    recipe = load_recipe(write_starter(path, tmp_path / "pets.toml").file, ["model.name=tiny"])
    assert (recipe.data.source, recipe.data.path) == ("folder", str(path))
    assert check(recipe).per_class == {"cat": (1, 1), "dog": (1, 1)}


def test_what_is_wrong_in_an_archive_is_said_of_the_archive(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "cards").mkdir()
    broken = coco(tmp_path / "cards", "train")
    held = json.loads(broken.read_text())
    del held["annotations"][0]["bbox"]
    broken.write_text(json.dumps(held))
    (tmp_path / "cards/train-1.png").write_text("none")
    path = zipped(tmp_path / "cards", tmp_path / "my.zip")
    empty = zipped(tmp_path / "none", tmp_path / "empty.zip")
    for inside, source, said in (
        ("cards/train.json", "coco", f"{path}/cards/train.json: annotations[0] (id 10): no 'bbox'"),
        ("cards/val.json", "coco", f"{path}/cards/val.json: no such file"),
        ("cards", "yolo", f"{path}/cards/: no data.yaml"),
        ("", "csv", f"{path}/cards/: no train.csv"),
    ):
        with pytest.raises(DataError) as caught:
            [*rows(Data(source=source, path=str(path / inside)), "train")]
        assert str(caught.value).startswith(said)
    for given in (empty, path / "cards/none"):
        with pytest.raises(DataError) as caught:
            write_starter(given, tmp_path / "out.toml")
        assert str(caught.value).startswith(str(given))


def test_a_image_in_an_archive_is_named_by_it(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "cards").mkdir()
    coco(tmp_path / "cards", "train")
    (tmp_path / "cards/train-1.png").write_text("none")
    path = zipped(tmp_path / "cards", tmp_path / "my.zip")
    row = next(rows(Data(source="coco", path=f"{path}/cards/{{split}}.json"), "train"))
    assert row.location.startswith(f"{path}/cards/train.json: images[0]")
    with pytest.raises(DataError) as caught:
        row.image.open()
    assert str(caught.value).startswith(f"{path}/cards/train-1.png: ")


def test_archives_of_equal_content_keep_their_own_names(tmp_path: Path, cache: Path) -> None:
    """They share a folder of the cache, and no text is searched for its name."""
    (tmp_path / "cards").mkdir()
    coco(tmp_path / "cards", "train")
    (tmp_path / "cards/train-1.png").write_text("none")
    first = zipped(tmp_path / "cards", tmp_path / "first.zip")
    second = tmp_path / "second.zip"
    shutil.copy(first, second)
    found = [
        next(rows(Data(source="coco", path=f"{path}/cards/{{split}}.json"), "train"))
        for path in (first, second)
    ]
    for path, row in zip((first, second), found, strict=True):
        assert row.location.startswith(f"{path}/cards/train.json: images[0]")
        with pytest.raises(DataError) as caught:
            row.image.open()
        assert str(caught.value).startswith(f"{path}/cards/train-1.png: ")
