"""COCO's and LVIS's files become rows of boxes; what is malformed is refused by name and place."""

from __future__ import annotations

import copy
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_files import names, noted, read, refusal, write_image, written

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.data import rows
from rftkit.data.sources import coco
from rftkit.errors import DataError
from rftkit.recipe.sections import Data
from rftkit.tasks.categories import COCO_80, LISTS

SHARED = Path(__file__).parents[3] / "shared/data"
NEEDS_SHARED = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")

# COCO

GOOD: dict[str, Any] = {
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 20, "height": 10},
        {"id": 2, "file_name": "sub/b.jpg", "width": 10, "height": 30},
    ],
    "annotations": [
        {"id": 10, "image_id": 1, "category_id": 7, "bbox": [5, 1, 10, 3.5], "iscrowd": 0},
        {"id": 11, "image_id": 1, "category_id": 3, "bbox": [0, 0, 20, 10], "iscrowd": 1},
    ],
}


def coco_set(root: Path, change: Callable[[Any], object] = lambda whole: None) -> Path:
    write_image(root / "a.jpg")
    write_image(root / "sub/b.jpg", 10, 30)
    whole = copy.deepcopy(GOOD)
    change(whole)
    return written(root / "instances_train.json", whole)


def test_coco_gives_a_row_for_each_image(tmp_path: Path) -> None:
    path = coco_set(tmp_path)
    first, second = read("coco", tmp_path / "instances_{split}.json")
    assert first.location == f"{path}: images[0] (id 1)"
    assert names([first, second]) == ["a.jpg", "sub/b.jpg"]
    assert first.values == {
        "size": "20x10",
        "objects": (
            LabelledBox("cat", Box(0.25, 0.1, 0.75, 0.45)),
            LabelledBox("dog", Box(0, 0, 1, 1), crowd=True),
        ),
        "categories": ("cat", "dog"),
    }
    assert second.values == {"size": "10x30", "objects": (), "categories": ("cat", "dog")}


def put(where: str, value: object) -> Callable[[Any], object]:
    """A change of one place, as in `annotations.0.bbox`; ... removes it."""

    def change(whole: Any) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in where.split(".")]
        for key in way:
            whole = whole[key]
        if value is ...:
            del whole[last]
        else:
            whole[last] = value

    return change


WRONG: list[tuple[str, object, str]] = [
    ("images.1.file_name", "none.jpg", "images[1] (id 2): no file 'none.jpg' below"),
    ("images.1.file_name", "../b.jpg", "images[1] (id 2): '../b.jpg' leaves"),
    ("images.1.file_name", "/b.jpg", "images[1] (id 2): '/b.jpg' is absolute"),
    ("images.1.file_name", "https://x/b.jpg", "is a URL"),
    ("images.1.file_name", 3, "images[1] (id 2): file_name 3 is not the path of an image"),
    ("images.1.file_name", ..., "images[1] (id 2): no 'file_name'"),
    ("images.1.file_name", "a.jpg", "file 'a.jpg' is that of"),
    ("images.1.id", 1, "images[1] (id 1): id is that of"),
    ("images.1.id", "2", "images[1]: id '2' is not a whole number"),
    ("images.1.id", True, "images[1]: id True is not a whole number"),
    ("images.1.id", ..., "images[1]: no 'id'"),
    ("images.0.width", ..., "images[0] (id 1): no 'width'"),
    ("images.0.width", "20", "images[0] (id 1): width '20' is not a whole number"),
    ("images.0.height", 0, "20 × 0 pixels is no size"),
    ("images.0.height", None, "height None is not a whole number"),
    ("images.0", 5, "images[0]: 5 is not an object"),
    ("images", {}, "'images' is {}, not a list"),
    ("images", [], "no images"),
    ("images", ..., "no 'images'"),
    ("annotations", ..., "no 'annotations'"),
    ("annotations.1.id", 10, "annotations[1] (id 10): another annotation has this id"),
    ("annotations.1.id", 1.5, "annotations[1]: id 1.5 is not a whole number"),
    ("annotations.1.image_id", 9, "annotations[1] (id 11): image_id 9 is not among the images"),
    ("annotations.1.image_id", "1", "image_id '1' is not a whole number"),
    ("annotations.1.category_id", 9, "category_id 9 is not among the categories"),
    ("annotations.1.category_id", ..., "annotations[1] (id 11): no 'category_id'"),
    ("annotations.1.bbox", ..., "annotations[1] (id 11): no 'bbox'"),
    ("annotations.1.bbox", [1, 2, 3], "bbox [1, 2, 3] is not a list of 4 numbers"),
    ("annotations.1.bbox", "1 2 3 4", "bbox '1 2 3 4' is not a list of 4 numbers"),
    ("annotations.1.bbox", [1, 2, "3", 4], "holds '3', no finite number"),
    ("annotations.1.bbox", [1, 2, True, 4], "holds True, no finite number"),
    ("annotations.1.bbox", [1, 2, None, 4], "holds None, no finite number"),
    ("annotations.1.bbox", [1, 2, float("nan"), 4], "holds nan, no finite number"),
    ("annotations.1.bbox", [1, 2, float("inf"), 4], "holds inf, no finite number"),
    ("annotations.1.bbox", [1, 2, 10**400, 4], "no finite number"),
    ("annotations.1.bbox", [5, 5, 0, 2], "is 0 wide and 2 high"),
    ("annotations.1.bbox", [5, 5, 2, -2], "is 2 wide and -2 high"),
    ("annotations.1.bbox", [5, 5, 2, 1e-30], "box (5, 5, 7, 5) has no area"),
    ("annotations.1.bbox", [11, 0, 10, 10], "leaves the image of 20 × 10 pixels"),
    ("annotations.1.bbox", [-1, 0, 10, 10], "leaves the image"),
    ("annotations.1.bbox", [20, 0, 0.5, 10], "has no area"),
    ("annotations.1.iscrowd", "0", "iscrowd '0' is neither 0 nor 1"),
    ("annotations.1.iscrowd", 1.0, "iscrowd 1.0 is neither 0 nor 1"),
    ("categories.1.id", 7, "categories[1] (id 7): id is that of 'cat' too"),
    ("categories.1.name", "cat ", "categories[1] (id 3): name 'cat' is that of id 7 too"),
    ("categories.1.name", 5, "name 5 is not a text"),
    ("categories.1.name", " ", "name ' ' is not a text"),
    ("categories.1.name", "</think>", "name '</think>' holds a tag"),
    ("categories.1.name", ..., "categories[1] (id 3): no 'name'"),
    ("categories", [], "no categories"),
]


@pytest.mark.parametrize(("where", "value", "what"), WRONG)
def test_what_is_wrong_in_coco_is_refused_by_place(
    tmp_path: Path, where: str, value: object, what: str
) -> None:
    path = coco_set(tmp_path, put(where, value))
    line = refusal("coco", tmp_path / "instances_{split}.json")
    assert line.startswith(f"{path}: ")
    assert what in line


@pytest.mark.parametrize("content", ["[]", "null", "{", "", "\udcff", "[" * 100_000])
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert refusal("coco", tmp_path / "{split}.json").startswith(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "train.json: no such file; set data.path" in refusal("coco", tmp_path / "{split}.json")
    coco_set(tmp_path)
    assert "there are: instances_train.json" in refusal("coco", tmp_path)
    missing = str(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe.json")
    assert "pipe.json: not a file" in refusal("coco", tmp_path / "pipe.json")
    line = refusal("coco", tmp_path / "instances_train.json", images=missing)
    assert line == f"{missing}: no such folder; set data.images to the folder of the images"


def test_a_file_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco_set(tmp_path)
    monkeypatch.setattr("rftkit.data.sources.annotated.MAX_BYTES", 100)
    assert "above 0 MB" in refusal("coco", tmp_path / "instances_{split}.json")


def test_an_edge_less_than_a_pixel_outside_is_clipped_and_counted(tmp_path: Path) -> None:
    path = coco_set(tmp_path, put("annotations.0.bbox", [-0.5, 0, 21, 10.2]))
    first, _ = read("coco", tmp_path / "instances_{split}.json")
    objects = first.values["objects"]
    assert objects[0].box == Box(0, 0, 1, 1)  # type: ignore[index]
    assert noted("coco", tmp_path / "instances_{split}.json") == [
        f"{path}: 1 boxes reached less than a pixel beyond their image; clipped"
    ]


def test_the_two_empty_boxes_of_coco_itself_are_left_out(tmp_path: Path) -> None:
    def change(whole: Any) -> None:
        whole["images"][0]["id"] = 200365
        whole["annotations"][1].update(id=918, image_id=200365, bbox=[5, 5, 1.03, 0.0])
        whole["annotations"][0]["image_id"] = 200365

    path = coco_set(tmp_path, change)
    first, _ = read("coco", tmp_path / "instances_{split}.json")
    assert len(first.values["objects"]) == 1  # type: ignore[arg-type]
    assert noted("coco", tmp_path / "instances_{split}.json") == [
        f"{path}: 1 boxes are COCO's own without height; left out"
    ]


def test_one_coco_file_for_all_is_divided_by_a_fixed_seed(tmp_path: Path) -> None:
    for number in range(10):
        write_image(tmp_path / f"{number}.jpg")
    whole = copy.deepcopy(GOOD)
    whole["images"] = [
        {"id": n, "file_name": f"{n}.jpg", "width": 20, "height": 10} for n in range(10)
    ]
    path = written(tmp_path / "all.json", whole)
    train, test = names(read("coco", path)), names(read("coco", path, "test"))
    assert (len(train), len(test)) == (8, 2)
    assert sorted(train + test) == [f"{n}.jpg" for n in range(10)]
    whole["images"].reverse()
    written(path, whole)
    assert sorted(names(read("coco", path, "test"))) == sorted(test)
    assert noted("coco", path) == [
        f"{path}: no split is given: one image in 5 is held out (fixed seed 0)"
    ]
    assert "no split 'val'; it is divided into train and test" in refusal("coco", path, "val")
    written(path, {**whole, "images": whole["images"][:1], "annotations": []})
    assert "1 images; to split them into train and test it needs two" in refusal("coco", path)


def test_images_may_be_elsewhere_in_a_folder_of_the_split(tmp_path: Path) -> None:
    coco_set(tmp_path)
    (tmp_path / "train").mkdir()
    for name in ("a.jpg", "sub"):
        (tmp_path / name).rename(tmp_path / "train" / name)
    images = str(tmp_path / "{split}")
    found = read("coco", tmp_path / "instances_{split}.json", images=images)
    assert [row.image.open().size for row in found] == [(20, 10), (10, 30)]


def test_a_data_set_is_read_out_of_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    coco_set(tmp_path)
    with zipfile.ZipFile(tmp_path / "cards.zip", "w") as packed:
        for name in ("instances_train.json", "a.jpg", "sub/b.jpg"):
            packed.write(tmp_path / name, f"cards/{name}")
    path = tmp_path / "cards.zip/cards/instances_{split}.json"
    assert [row.image.open().size for row in read("coco", path)] == [(20, 10), (10, 30)]
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as packed:
        packed.write(tmp_path / "a.jpg", "a.jpg")
        packed.write(tmp_path / "sub/b.jpg", "sub/b.jpg")
    images = str(tmp_path / "images.zip")
    assert len(read("coco", tmp_path / "instances_{split}.json", images=images)) == 2


@NEEDS_SHARED
def test_the_playing_cards_are_all_there() -> None:
    path = SHARED / "det_cards6/instances_{split}.json"
    counts = {}
    for split in ("train", "test"):
        found = read("coco", path, split)
        boxes = [thing for row in found for thing in row.values["objects"]]  # type: ignore[attr-defined]
        counts[split] = len(found), len(boxes)
        assert {row.values["categories"] for row in found} == {
            ("nine", "ten", "jack", "queen", "king", "ace")
        }
        assert all(0 <= b.x1 < b.x2 <= 1 and 0 <= b.y1 < b.y2 <= 1 for _, b, _ in boxes)
    assert counts == {"train": (120, 216), "test": (67, 143)}


# LVIS


def lvis_set(root: Path, change: Callable[[Any], object] = lambda whole: None) -> Path:
    def as_lvis(whole: Any) -> None:
        for category, frequency in zip(whole["categories"], "cf", strict=True):
            category["frequency"] = frequency
        whole["categories"].append({"id": 8, "name": "horse_buggy", "frequency": "r"})
        whole["annotations"][0].pop("iscrowd")
        whole["annotations"].pop()
        for image in whole["images"]:
            image["neg_category_ids"] = [3]
            image["not_exhaustive_category_ids"] = []
            image["coco_url"] = "http://images.cocodataset.org/val2017/" + image.pop("file_name")
        whole["images"][0]["not_exhaustive_category_ids"] = [7]
        whole["images"][1]["coco_url"] = "http://images.cocodataset.org/train2017/b.jpg"
        change(whole)

    write_image(root / "val2017/a.jpg")
    write_image(root / "b.jpg", 10, 30)  # of the second image's address, the last part is found
    return coco_set(root, as_lvis)


def test_lvis_vouches_for_what_it_looked_for(tmp_path: Path) -> None:
    lvis_set(tmp_path)
    (tmp_path / "a.jpg").unlink()
    first, second = read("coco", tmp_path / "instances_{split}.json")
    assert names([first, second]) == ["val2017/a.jpg", "b.jpg"]
    assert first.values["categories"] == ("cat", "dog")
    assert first.values["not_exhaustive"] == ("cat",)
    assert first.values["frequency"] == {"cat": "c", "dog": "f", "horse_buggy": "r"}
    assert second.values["categories"] == ("dog",)
    assert second.values["not_exhaustive"] == ()


WRONG_LVIS: list[tuple[str, object, str]] = [
    ("images.0.neg_category_ids", [3, 99], "images[0] (id 1): neg_category_ids holds 99"),
    ("images.0.neg_category_ids", [True], "neg_category_ids holds True"),
    ("images.0.neg_category_ids", [7], "'cat' is boxed and said to be absent"),
    ("images.1.neg_category_ids", ..., "images[1] (id 2): no 'file_name'"),
    ("images.0.not_exhaustive_category_ids", ..., "no 'not_exhaustive_category_ids'"),
    ("images.0.coco_url", 5, "no 'file_name'"),
    ("images.0.coco_url", "http://x/../../etc/passwd", "no file 'etc/passwd'"),
    ("categories.0.frequency", "x", "frequency 'x' is none of r, c and f"),
    ("categories.0.frequency", ..., "categories[0] (id 7): no 'frequency'"),
]


@pytest.mark.parametrize(("where", "value", "what"), WRONG_LVIS)
def test_what_is_wrong_in_lvis_is_refused(
    tmp_path: Path, where: str, value: object, what: str
) -> None:
    lvis_set(tmp_path, put(where, value))
    assert what in refusal("coco", tmp_path / "instances_{split}.json")


@NEEDS_SHARED
def test_a_real_sample_of_lvis_is_read_without_its_images() -> None:
    path = SHARED / "meta_detection/lvis_val_100.json.gz"
    found = coco.read_annotations(path)
    whole = json.loads(gzip.decompress(path.read_bytes()))
    label = {entry["id"]: entry["name"] for entry in whole["categories"]}
    assert len(found) == 100
    assert sum(len(item.values["objects"]) for item in found) == 977  # type: ignore[arg-type]
    for item, image in zip(found, whole["images"], strict=True):
        absent = {label[number] for number in image["neg_category_ids"]}
        present = {
            label[a["category_id"]] for a in whole["annotations"] if a["image_id"] == image["id"]
        }
        assert set(item.values["categories"]) == present | absent  # type: ignore[call-overload]
        assert item.others[0] == "val2017/" + image["coco_url"].rsplit("/")[-1]
    frequency = found[0].values["frequency"]
    assert isinstance(frequency, dict)
    assert [list(frequency.values()).count(kind) for kind in "rcf"] == [454, 461, 315]


@NEEDS_SHARED
def test_the_named_categories_are_those_of_the_papers() -> None:
    folder = SHARED / "meta_detection"
    splits = json.loads((folder / "coco_splits.json").read_text("utf-8"))
    lvis = json.loads((folder / "lvis_categories.json").read_text("utf-8"))
    assert list(COCO_80) == [entry["name"] for entry in splits["coco80"]]
    assert list(LISTS["coco-65"]) == splits["ov_65_15"]["base"]
    assert set(LISTS["coco-15"]) == set(splits["ov_65_15"]["novel"])
    assert list(LISTS["coco-8"]) == splits["visual_rft_fewshot8"]
    assert list(LISTS["lvis-6"]) == lvis["visual_rft_fewshot6"]
    assert list(LISTS["lvis-13"]) == lvis["visual_rft_open_vocab13"]
    known = {entry["name"] for entry in lvis["categories"]}
    assert {*LISTS["lvis-6"], *LISTS["lvis-13"]} <= known


def test_sources_read_lazily_what_they_can(tmp_path: Path) -> None:
    coco_set(tmp_path)
    (tmp_path / "sub/b.jpg").unlink()
    data = Data(source="coco", path=str(tmp_path / "instances_{split}.json"))
    found = rows(data, "train")
    assert next(found).image.name == "a.jpg"
    with pytest.raises(DataError, match="sub/b"):
        next(found)
