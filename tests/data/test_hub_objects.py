"""Hub data sets of more than one image and label: lists of images, raw bytes, boxes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.core import Row
from rftkit.data.sources import hub
from rftkit.errors import DataError
from rftkit.recipe.sections import Data

datasets = pytest.importorskip("datasets")


def png(shade: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 48), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def rows(
    root: Path, cells: list[dict[str, Any]], features: dict[str, Any], **data: Any
) -> list[Row]:
    root = root / "set"
    root.mkdir()
    table = datasets.Dataset.from_list(cells, features=datasets.Features(features))
    table.to_parquet(root / "train-00000-of-00001.parquet")
    return list(hub.rows(Data(source="hub", path=str(root), **data), "train"))


def shade(row: Row, location: int = 0) -> int:
    image = (row.image, *row.others)[location].open()
    return image.getpixel((0, 0))[0]


@pytest.mark.parametrize("kind", ["bytes", "images"])
def test_a_cell_may_hold_several_images(tmp_path: Path, kind: str) -> None:
    inner = datasets.Value("binary") if kind == "bytes" else datasets.Image()
    cell = png if kind == "bytes" else lambda value: {"bytes": png(value), "path": None}
    found = rows(
        tmp_path,
        [{"image_bytes": [cell(10), cell(20)], "question": "Which?"},
         {"image_bytes": [cell(30)], "question": "Why?"}],
        {"image_bytes": datasets.List(inner), "question": datasets.Value("string")},
        columns={"image": "image_bytes"},
    )  # fmt: skip
    assert [len(row.others) for row in found] == [1, 0]
    assert (shade(found[0]), shade(found[0], 1), shade(found[1])) == (10, 20, 30)
    assert (found[0].image.name, found[0].others[0].name) == ("train:0", "train:0+1")
    assert found[1].values == {"question": "Why?"}


def test_a_row_with_an_empty_list_is_refused(tmp_path: Path) -> None:
    features = {"image": datasets.List(datasets.Image())}
    with pytest.raises(DataError, match=r":train:0: no image in this row"):
        rows(tmp_path, [{"image": []}], features)


def annotated(box: list[float], category: int = 1) -> dict[str, Any]:
    objects = {"bbox": [box, [0.0, 0.0, 64.0, 48.0]], "category": [category, 0]}
    return {"image": {"bytes": png(5), "path": None}, "width": 64, "height": 48, "objects": objects}


def boxes_of(names: list[str]) -> dict[str, Any]:
    return {
        "image": datasets.Image(),
        "width": datasets.Value("int64"),
        "height": datasets.Value("int64"),
        "objects": {
            "bbox": datasets.List(datasets.List(datasets.Value("float64"))),
            "category": datasets.List(datasets.ClassLabel(names=names)),
        },
    }


def test_objects_become_boxes_with_names(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, [annotated([16.0, 12.0, 32.0, 24.0])], boxes_of(["cat", "dog", "owl"]))
    assert row.values["objects"] == (
        LabelledBox("dog", Box(0.25, 0.25, 0.75, 0.75)),
        LabelledBox("cat", Box(0, 0, 1, 1)),
    )
    assert row.values["categories"] == ("cat", "dog", "owl")
    assert row.values["size"] == "64x48"


@pytest.mark.parametrize(("key", "count"), [("category", 1), ("kinds", 2)])
def test_a_box_without_its_category_is_refused(tmp_path: Path, key: str, count: int) -> None:
    """It would be left out without a word."""
    row = annotated([16.0, 12.0, 32.0, 24.0])
    row["objects"] = {"bbox": row["objects"]["bbox"], key: [0] * count}
    features = boxes_of(["cat", "dog"])
    features["objects"] = {
        "bbox": features["objects"]["bbox"],
        key: datasets.List(datasets.Value("int64")),
    }
    with pytest.raises(DataError, match=r"set:train:0: 'objects' has 2 in 'bbox' and [01] in"):
        rows(tmp_path, [row], features)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([16.0, 12.0, 0.0, 24.0], "gold box .* is not"),
        ([-1.0, 12.0, 5.0, 24.0], "leaves the image"),
        ([16.0, 12.0, 5.0], "is not .x, y, width, height"),
    ],
)
def test_a_bad_box_is_refused_with_its_row(tmp_path: Path, box: list[float], says: str) -> None:
    with pytest.raises(DataError, match=rf"set:train:0: .*{says}"):
        rows(tmp_path, [annotated(box)], boxes_of(["cat", "dog"]))


def test_a_category_that_is_missing_is_refused(tmp_path: Path) -> None:
    """As text it would be the category "None"."""
    row = annotated([16.0, 12.0, 32.0, 24.0])
    row["objects"]["category"] = ["cat", None]
    features = boxes_of([])
    features["objects"]["category"] = datasets.List(datasets.Value("string"))
    with pytest.raises(DataError, match=r"set:train:0: category '' is not a text"):
        rows(tmp_path, [row], features)
