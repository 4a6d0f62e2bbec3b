"""Sources: folders, tables, CoOp lists and hub data sets become rows, or one clear line."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rftkit.core import Row
from rftkit.data import images, rows
from rftkit.data.source_notes import SourceNotes
from rftkit.errors import DataError
from rftkit.recipe.sections import Data
from rftkit.tasks import classification
from rftkit.tasks.options import LabelOptions
from rftkit.tasks.reading import Reading


def png(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), colour).save(path, "PNG")
    return path


def folder(root: Path, *names: str) -> Path:
    for name in names:
        png(root / name)
    return root


def named(found: list[Row]) -> list[tuple[str, object]]:
    return [(row.image.name, row.values["label"]) for row in found]


def read(source: str, path: Path, split: str = "train", **more: object) -> list[Row]:
    data = Data.model_validate({"source": source, "path": str(path), **more})
    return list(rows(data, split))


def classified(source: str, path: Path, split: str = "train", **more: object) -> None:
    """Read a source, and its rows as classification does."""
    columns = more.get("columns", {})
    assert isinstance(columns, dict)
    for row in read(source, path, split, **more):
        classification.read(row, Reading(LabelOptions(), columns))


def refusal(source: str, path: Path, split: str = "train", **more: object) -> str:
    with pytest.raises(DataError) as caught:
        classified(source, path, split, **more)
    line = str(caught.value)
    assert "\n" not in line
    return line


# Folders


def test_a_folder_of_splits_gives_its_classes_in_order(tmp_path: Path) -> None:
    folder(tmp_path, "train/b/2.png", "train/b/1.JPEG", "train/ä/ü.png", "test/b/3.png")
    wanted = [("train/b/1.JPEG", "b"), ("train/b/2.png", "b"), ("train/ä/ü.png", "ä")]
    assert named(read("folder", tmp_path)) == wanted
    assert named(read("folder", tmp_path, "test")) == [("test/b/3.png", "b")]
    assert read("folder", tmp_path)[0].image.open().size == (8, 8)


def test_a_folder_of_classes_is_split_by_a_fixed_seed(tmp_path: Path) -> None:
    folder(
        tmp_path, *[f"{label}/{n}.png" for label in "ab" for n in range(10)], "c/1.png", "c/2.png"
    )
    notes = SourceNotes()
    data = Data(source="folder", path=str(tmp_path))
    train, test = list(rows(data, "train", notes)), read("folder", tmp_path, "test")
    assert len(train) == 8 + 8 + 1
    assert [row.values["label"] for row in test] == ["a", "a", "b", "b", "c"]
    assert not {row.image.name for row in train} & {row.image.name for row in test}
    assert notes.lines == [
        f"{tmp_path}/: no split is given: one image in 5 of each class is held out (fixed seed 0)"
    ]
    assert "no split 'val'; it is divided into train and test" in refusal("folder", tmp_path, "val")


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    assert "class 'b' has one image" in refusal("folder", tmp_path)


def test_split_names_are_never_guessed(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "val/a/2.png")
    line = refusal("folder", tmp_path)
    assert line == (
        f"{tmp_path}/: no split 'test', but train, val; set data.splits to the names of the "
        "training and the test folder"
    )
    assert len(read("folder", tmp_path, "val", splits=["train", "val"])) == 1
    assert "did you mean 'val'" in refusal("folder", tmp_path, "vall", splits=["train", "val"])


def test_a_folder_may_have_a_test_split_alone(tmp_path: Path) -> None:
    folder(tmp_path, "test/a/1.png", "test/b/2.png")
    assert len(read("folder", tmp_path, "test", splits=["", "test"])) == 2


def test_litter_is_ignored_and_other_files_are_noted(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "test/a/2.png", "train/.cache/x.png", "train/a/sub/3.png")
    for name in ("Thumbs.db", ".DS_Store", "notes.txt", "b.heic", "README"):
        (tmp_path / "train/a" / name).write_text("x")
    notes = SourceNotes()
    found = list(rows(Data(path=str(tmp_path)), "train", notes))
    assert named(found) == [("train/a/1.png", "a")]
    skipped = "1 .heic, 1 .txt, 1 folders, 1 without suffix"
    assert notes.lines == [f"{tmp_path}/: skipped what is not an image: {skipped}"]
    assert notes.held_out == ""


def test_links_that_leave_the_root_are_refused(tmp_path: Path) -> None:
    secret = png(tmp_path / "outside/secret.png")
    root = folder(tmp_path / "root", "train/a/1.png", "test/a/1.png")
    (root / "train/a/inside.png").symlink_to(root / "train/a/1.png")
    assert len(read("folder", root)) == 2
    (root / "train/a/2.png").symlink_to(secret)
    assert "train/a/2.png is a link that leaves" in refusal("folder", root)
    (root / "train/a/2.png").unlink()
    (root / "train/b").symlink_to(secret.parent)
    assert "train/b is a link that leaves" in refusal("folder", root)


def test_the_folder_of_a_table_is_resolved_once_not_for_every_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, *(f"{number}.png" for number in range(9)))
    lines = [f"{number}.png,cat,train" for number in range(9)]
    (tmp_path / "t.csv").write_text("\n".join(["image,label,split", *lines]))
    asked: list[str] = []
    real = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: asked.append(str(path)) or real(path))
    assert len(read("csv", tmp_path / "t.csv")) == 9
    assert asked.count(str(tmp_path)) == 1


def test_folders_that_hold_no_data_set_are_refused(tmp_path: Path) -> None:
    assert "no such folder; set data.path" in refusal("folder", tmp_path / "none")
    assert "a file, not a folder" in refusal("folder", png(tmp_path / "a.png"))
    assert "no class folders" in refusal("folder", tmp_path)
    (tmp_path / "empty").mkdir()
    folder(tmp_path, "full/1.png", "full/2.png")
    assert "empty/: no images in this class" in refusal("folder", tmp_path)


def test_unreadable_file_names_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, "a/1\n.png", "a/2.png")
    assert r"file name '1\n.png' holds unreadable characters" in refusal("folder", tmp_path)


# Tables


def table(root: Path, text: str, name: str = "pets.csv") -> Path:
    for number in range(1, 6):
        png(root / f"p/{number}.png", number)
    path = root / name
    path.write_bytes(text.encode("utf-8"))
    return path


SPLIT_CSV = 'image,label,split\np/1.png,cat,train\np/2.png,"dog, small",train\np/3.png,cat,test\n'


@pytest.mark.parametrize("prefix", ["", "\ufeff"])
def test_a_csv_with_a_split_column(tmp_path: Path, prefix: str) -> None:
    path = table(tmp_path, prefix + SPLIT_CSV.replace("\n", "\r\n"))
    assert named(read("csv", path)) == [("p/1.png", "cat"), ("p/2.png", "dog, small")]
    found = read("csv", path, "test")
    assert (named(found), found[0].location) == ([("p/3.png", "cat")], f"{path}:4")
    assert found[0].image.open().getpixel((0, 0)) == (3, 3, 3)
    assert "no row of split 'val'; column 'split' holds 'test', 'train'" in refusal(
        "csv", path, "val"
    )


def test_a_jsonl_with_a_split_column(tmp_path: Path) -> None:
    lines = [
        {"image": "p/1.png", "label": 0, "split": "train"},
        {"image": "./p/2.png", "label": "é"},
    ]
    lines[1]["split"] = "test"
    path = table(tmp_path, "\n\n".join(map(json.dumps, lines)) + "\n", "pets.jsonl")
    assert named(read("jsonl", path)) == [("p/1.png", 0)]
    assert named(read("jsonl", path, "test")) == [("p/2.png", "é")]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_row_without_a_split_is_refused_wherever_it_stands(tmp_path: Path, missing: int) -> None:
    folder(tmp_path, "p/1.png", "p/2.png", "p/3.png")
    values: list[dict[str, object]] = [
        {"image": f"p/{n}.png", "label": "a", "split": split}
        for n, split in enumerate(("train", "test", "train"), start=1)
    ]
    del values[missing]["split"]
    path = tmp_path / "t.jsonl"
    for left in ({}, {"split": None}, {"split": " "}):
        lines = [{**line, **(left if n == missing else {})} for n, line in enumerate(values)]
        path.write_text("\n".join(map(json.dumps, lines)))
        for split in ("train", "test"):
            assert refusal("jsonl", path, split).startswith(
                f"{path}:{missing + 1}: no split, and other rows have one"
            )


def test_a_table_without_splits_is_split_by_a_fixed_seed(tmp_path: Path) -> None:
    lines = [f"p/{n}.png,{label}" for n, label in zip(range(1, 6), "aabbb", strict=True)]
    path = table(tmp_path, "\n".join(["image,label", *lines]))
    train, test = named(read("csv", path)), named(read("csv", path, "test"))
    path.write_text("\n".join(["image,label", *reversed(lines)]))
    assert sorted(label for _, label in test) == ["a", "b"]
    assert sorted(train + test) == [(f"p/{n}.png", "aabbb"[n - 1]) for n in range(1, 6)]
    assert named(read("csv", path, "test")) == test[::-1]  # the order of lines does not matter


def test_a_table_of_boxes_or_questions_is_split_by_image(tmp_path: Path) -> None:
    lines = [
        {"image": f"p/{n}.png", "label": f"phrase {n}{turn}", "box": [1, 2, 3, 4]}
        for n in range(1, 6)
        for turn in "ab"
    ]
    path = table(tmp_path, "\n".join(map(json.dumps, lines)), "boxes.jsonl")
    notes = SourceNotes()
    train = list(rows(Data(source="jsonl", path=str(path)), "train", notes))
    test = read("jsonl", path, "test")
    assert (len(train), len(test)) == (8, 2)
    assert not {row.image.name for row in train} & {row.image.name for row in test}
    line = f"{path}: no split is given: one image in 5 is held out (fixed seed 0)"
    assert (notes.lines, notes.held_out) == ([line], line)
    renamed = path.read_text().replace('"box"', '"corners"')
    path.write_text(renamed)
    assert len(read("jsonl", path, "test", columns={"box": "corners"})) == 2
    assert "class 'phrase 1a' has one image" in refusal("jsonl", path)


def test_a_row_may_show_several_images(tmp_path: Path) -> None:
    line = {"image": ["p/2.png", "p/1.png"], "label": "a", "split": "train"}
    path = table(tmp_path, json.dumps(line), "pairs.jsonl")
    (row,) = read("jsonl", path)
    assert (row.image.name, [other.name for other in row.others]) == ("p/2.png", ["p/1.png"])
    path.write_text(json.dumps({**line, "image": ["p/1.png", "p/9.png"]}))
    assert "jsonl:1: no file 'p/9.png'" in refusal("jsonl", path)
    path.write_text(json.dumps({**line, "image": []}))
    assert "jsonl:1: no image named" in refusal("jsonl", path)


def test_a_path_may_hold_the_split_and_images_lie_elsewhere(tmp_path: Path) -> None:
    folder(tmp_path, "train-images/1.png", "test-images/1.png")
    for split, label in (("train", "a"), ("test", "b")):
        (tmp_path / f"mine-{split}.csv").write_text(f"image,label\n1.png,{label}\n")
    more = {"images": str(tmp_path / "{split}-images")}
    path = tmp_path / "mine-{split}.csv"
    assert named(read("csv", path, **more)) == [("1.png", "a")]
    assert named(read("csv", path, "test", **more)) == [("1.png", "b")]
    assert "mine-val.csv: no such file" in refusal("csv", path, "val", **more)


def test_a_folder_of_tables_has_one_for_each_split(tmp_path: Path) -> None:
    table(tmp_path, "image,label\np/1.png,a", "train.csv")
    assert named(read("csv", tmp_path)) == [("p/1.png", "a")]
    assert "no test.csv (.csv files: train.csv)" in refusal("csv", tmp_path, "test")


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = table(tmp_path, SPLIT_CSV.replace("image,label", "file,kind"))
    found = read("csv", path, columns={"image": "file", "label": "kind"})
    assert [row.values["kind"] for row in found] == ["cat", "dog, small"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("image,label\n", "no rows"),
        ("image;label\np/1.png;cat", "one column only: 'image;label'; is the delimiter ','"),
        ("photo,label\np/1.png,cat", "no column 'image'; there are: photo, label"),
        ("images,label\np/1.png,cat", "no column 'image'; did you mean 'images'? Set data.columns"),
        ("image,lable\np/1.png,cat", "csv:2: no column 'label'; did you mean 'lable'?"),
        ("image,label,label\np/1.png,a,b", "two columns are called 'label'"),
        ("image,label\np/1.png,cat,x", "csv:2: 3 cells under 2 column names"),
        ("image,label\np/1.png", "csv:2: 1 cells under 2"),
        ('image,label\np/1.png,"cat', "csv:2: not CSV"),
        ("image,label\np/1.png, ", "csv:2: no label in column 'label'"),
        ("image,label,split\n,cat,train", "csv:2: no image named"),
        ("image,label,split\np/9.png,cat,train", "csv:2: no file 'p/9.png' below"),
        ("image,label,split\np/../../x.png,cat,train", "csv:2: 'p/../../x.png' leaves"),
        ("image,label,split\n/etc/passwd,cat,train", "csv:2: '/etc/passwd' is absolute"),
        ("image,label,split\nC:\\x.png,cat,train", "is absolute"),
        ("image,label,split\nhttps://x.org/a.png,cat,train", "is a URL; download it"),
        ("image,label,split\np/link.png,cat,train", "is a link that leaves"),
        ("image,label,split\n.,cat,train", "no file '.'"),
        (f"image,label,split\n{'x' * 5000},cat,train", "no file"),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = table(tmp_path / "root", text)
    (tmp_path / "root/p/link.png").symlink_to(png(tmp_path / "secret.png"))
    line = refusal("csv", path)
    assert line.startswith(str(path))
    assert says in line


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"image": "p/1.png", "label": ', "jsonl:2: not JSON"),
        ("[" * 100_000, "jsonl:2: not JSON"),
        ('{"image": "p/1.png", "label": ' + "1" * 5000 + "}", "jsonl:2: not JSON"),
        ('["p/1.png", "cat"]', "jsonl:2: not a JSON object"),
        ('{"image": 7, "label": "cat"}', "jsonl:2: no image named"),
        ('{"image": "p/1.png"}', "jsonl:2: no column 'label'; there are: image"),
        ('{"image": "p/1.png", "label": null}', "jsonl:2: no label"),
        ('{"image": "p/\\u0000.png", "label": "a"}', "unreadable characters"),
        ('{"image": "\\ud800.png", "label": "a"}', r"jsonl:2: '\ud800' is half of a letter"),
        ('{"image": "p/1.png", "label": "c\\udc00t"}', r"jsonl:2: '\udc00' is half of a letter"),
        ('{"image": "p/1.png", "label": NaN}', "jsonl:2: label nan is not a text or a number"),
        ('{"image": "p/1.png", "label": -1e999}', "jsonl:2: label -inf is not a text or a number"),
        ('{"image": "p/1.png", "label": {"a": 1}}', "jsonl:2: label {'a': 1} is not a text or"),
        ('{"image": "p/1.png", "label": ["a"]}', "jsonl:2: label ['a'] is not a text or a"),
    ],
)
def test_a_bad_json_line_is_refused_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    table(tmp_path, '{"image": "p/1.png", "label": "cat"}\n' + line, "train.jsonl")
    assert says in refusal("jsonl", tmp_path)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("NaN", "label nan is not a text or a number"),
        ("1e999", "label inf is not a text or a number"),
        ('{"a": 1}', "label {'a': 1} is not a text or a number"),
        ('"\\ud800"', r"'\ud800' is half of a letter"),
    ],
)
def test_what_is_no_label_does_not_become_a_class_of_a_divided_table(
    tmp_path: Path, label: str, says: str
) -> None:
    lines = [
        f'{{"image": "p/{n}.png", "label": {name}}}' for n in (1, 2, 3) for name in ('"cat"', label)
    ]
    path = table(tmp_path, "\n".join(lines), "all.jsonl")
    assert (
        refusal("jsonl", path)
        == f"{path}:2: {says}; {'fix the text' if 'half' in says else 'write one'}"
    )


def test_a_letter_beyond_16_bits_is_one_letter(tmp_path: Path) -> None:
    table(tmp_path, '{"image": "p/1.png", "label": "\\ud83d\\ude00"}', "train.jsonl")
    assert named(read("jsonl", tmp_path)) == [("p/1.png", "\U0001f600")]


def test_tables_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("image,label\np/1.png,Größe".encode("latin-1"))
    assert "a.csv: not UTF-8" in refusal("csv", tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"image,label\np/1.png,\0")
    assert refusal("csv", tmp_path / "b.csv").startswith(str(tmp_path / "b.csv"))
    assert "no such file" in refusal("csv", tmp_path / "c.csv")


# CoOp


def coop(root: Path, listed: object, name: str = "split.json") -> Path:
    folder(root, "cat/1.png", "dog/2.png")
    text = listed if isinstance(listed, bytes) else json.dumps(listed).encode()
    (root / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return root / name


@pytest.mark.parametrize("name", ["split.json", "split.json.gz"])
def test_a_coop_split_lists_images_and_label_ids(tmp_path: Path, name: str) -> None:
    listed = {"train": [["cat/1.png", 1, "big_cat"]], "test": [["dog/2.png", 0, "dog"]], "note": ""}
    path = coop(tmp_path, listed, name)
    for more in ({}, {"images": str(tmp_path)}):
        found = read("coop", path, **more)
        assert named(found) == [("cat/1.png", "big cat")]
        assert found[0].values["label_id"] == 1
    assert found[0].image.open().size == (8, 8)
    assert "no split 'val'" in refusal("coop", path, "val")


def test_a_coop_split_without_its_images_names_the_key(tmp_path: Path) -> None:
    path = coop(tmp_path, {"train": []})
    said = refusal("coop", path, images=str(tmp_path / "none"))
    assert said == f"{tmp_path}/none: no such folder; set data.images to the folder of images"


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (b"{", "not a CoOp split file"),
        ([1], "must map splits to lists"),
        ({"train": [["cat/1.png", "cat"]]}, "is not [path, label id, class name]"),
        ({"train": [["../x.png", 0, "cat"]]}, "split.json:train[0]: '../x.png' leaves"),
        ({"train": [["cat/7.png", 0, "cat"]]}, "no file 'cat/7.png'"),
    ],
)
def test_a_bad_coop_split_is_refused(tmp_path: Path, listed: object, says: str) -> None:
    assert says in refusal("coop", coop(tmp_path, listed))


def test_a_coop_split_and_its_images_may_be_apart(tmp_path: Path) -> None:
    folder(tmp_path / "images", "cat/1.png")
    path = coop(tmp_path / "lists", {"train": [["cat/1.png", 0, "cat"]]})
    (tmp_path / "lists/cat/1.png").unlink()
    found = read("coop", path, images=str(tmp_path / "images"))
    assert found[0].image.open().size == (8, 8)
    assert "no file 'cat/1.png' below" in refusal("coop", path)
    assert "none: no such folder" in refusal("coop", path, images=str(tmp_path / "none"))
    assert "no such file; set data.path to a CoOp" in refusal("coop", tmp_path / "x.json")


def test_a_coop_split_that_explodes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rftkit.data.sources.coop.MAX_BYTES", 1000)
    path = coop(tmp_path, b" " * 100_000 + b"{}", "split.json.gz")
    assert "above 0 MB; not a CoOp" in refusal("coop", path)
    path.write_bytes(path.read_bytes()[:30])
    assert "not a CoOp split file" in refusal("coop", path)


# Hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local data set in parquet, as the hub stores them."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    random = np.random.default_rng(0)
    cells = []
    for number in range(200):
        file = BytesIO()
        Image.fromarray(random.integers(0, 256, (100, 100), dtype=np.uint8)).save(file, "PNG")
        cells.append({"img": {"bytes": file.getvalue(), "path": None}, "label": number % 2})
    cells[3]["label"] = -1
    root = tmp_path / "set"
    root.mkdir()
    for split in ("train", "test"):
        table = datasets.Dataset.from_list(cells, features=features)
        table.to_parquet(root / f"{split}-00000-of-00001.parquet")
    return root


@pytest.mark.parametrize("name", ["variant", "variation"])
def test_labels_of_a_hub_set_may_have_another_usual_name(hub: Path, name: str) -> None:
    rename_label(hub, "label", name)
    found = read("hub", hub, columns={"image": "img"})
    assert [row.values["label"] for row in found[:2]] == ["cat", "dog"]
    named = read("hub", hub, columns={"image": "img", "label": name})
    assert [row.values[name] for row in named[:2]] == ["cat", "dog"]


def test_of_a_hub_set_without_labels_the_columns_are_said(hub: Path) -> None:
    rename_label(hub, "label", "kind")
    line = refusal("hub", hub, columns={"image": "img"})
    assert "no column 'label'; there are: kind. Set data.columns.label" in line


def rename_label(hub: Path, old: str, new: str) -> None:
    from datasets import Dataset

    for path in hub.glob("*.parquet"):
        Dataset.from_parquet(str(path)).rename_column(old, new).to_parquet(path)


def test_a_parquet_data_set_gives_names_and_images(hub: Path) -> None:
    found = read("hub", hub, columns={"image": "img"})
    assert len(found) == 200
    assert [row.values["label"] for row in found[:4]] == ["cat", "dog", "cat", None]
    assert (found[7].location, found[7].image.name) == (f"{hub}:train:7", "train:7")
    assert (found[7].image.open().size, found[7].image.open().mode) == ((100, 100), "RGB")


def test_the_images_of_a_data_set_stay_on_disk(hub: Path) -> None:
    read("hub", hub, columns={"image": "img"})  # builds the cache
    tracemalloc.start()
    found = read("hub", hub, columns={"image": "img"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 200
    assert peak < 1_000_000  # the images alone are 2 MB


def test_a_local_image_folder_is_a_hub_data_set_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = folder(tmp_path / "set", "train/a/1.png", "train/b/2.png", "test/a/3.png")
    found = read("hub", root)
    assert [row.values["label"] for row in found] == ["a", "b"]
    assert found[0].image.open().size == (8, 8)


def parquet_of_paths(file: Path, *paths: str) -> None:
    """A table whose column of images names files and holds no bytes."""
    import datasets
    import pyarrow
    from pyarrow.parquet import write_table

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    cells = [{"image": {"bytes": None, "path": path}, "label": "cat"} for path in paths]
    write_table(pyarrow.Table.from_pylist(cells, features.arrow_schema), file)


@pytest.mark.parametrize("path", ["{root}/../s.png", "../s.png", "link.png", "{root}-2/s.png"])
def test_a_path_in_a_parquet_cell_does_not_leave_the_data_set(hub: Path, path: str) -> None:
    root = folder(hub.parent / "named", "p/1.png")
    (root / "link.png").symlink_to(png(hub.parent / "s.png"))
    png(hub.parent / "named-2/s.png")
    written = path.format(root=root)
    parquet_of_paths(root / "train.parquet", "p/1.png", f"{root}/p/1.png", written)
    *inside, outside = [row.image for row in read("hub", root)]
    assert [image.open().size for image in inside] == [(8, 8), (8, 8)]
    with pytest.raises(DataError) as refused:
        outside.open()
    line = str(refused.value)
    assert line.startswith(f"train:2: path {written[:80]!r} leads out of {root}/; move the image")


def test_a_data_set_that_is_a_script_is_refused(hub: Path) -> None:
    (hub / f"{hub.name}.py").write_text("raise SystemExit")
    line = refusal("hub", hub, columns={"image": "img"})
    assert line.startswith(f"{hub}: split 'train' cannot be read (Dataset scripts are no longer")


def test_data_sets_that_cannot_be_read_are_refused(hub: Path) -> None:
    assert "no column 'image'; did you mean 'img'? Set data.columns.image" in refusal("hub", hub)
    line = refusal("hub", hub, columns={"image": "label"})
    assert "column 'label' holds ClassLabel, not images" in line
    line = refusal("hub", hub, "validation", columns={"image": "img"})
    assert "split 'validation' cannot be read" in line
    assert "data.splits" in line
    (hub / "empty").mkdir()
    assert "cannot be read" in refusal("hub", hub / "empty")


def test_an_unreachable_hub_is_one_line(hub: Path) -> None:
    line = refusal("hub", Path("someone/nothing@abc123"))
    assert line.startswith("someone/nothing@abc123: the hub cannot be reached; go online")


def test_a_private_or_missing_data_set_says_log_in(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    seen: dict[str, object] = {}

    def missing(name: str, **options: object) -> object:
        seen.update(options, name=name)
        raise datasets.exceptions.DatasetNotFoundError("gone")

    monkeypatch.setattr(datasets, "load_dataset_builder", missing)
    assert "hf auth login" in refusal("hub", Path("someone/private@abc"))
    assert seen == {"name": "someone/private", "revision": "abc"}


# All


def test_no_source_opens_a_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        f"{split}/{label}/{n}.png" for split in ("train", "test") for label in "ab" for n in "12"
    ]
    folder(tmp_path, *names)
    (tmp_path / "a.csv").write_text(
        "image,label,split\n" + "".join(f"{n},a,train\n" for n in names)
    )
    monkeypatch.setattr(images, "open_safely", lambda *_: pytest.fail("opened"))
    assert len(read("folder", tmp_path)) == 4
    assert len(read("csv", tmp_path / "a.csv")) == 8


@pytest.mark.parametrize(("source", "count"), [("digits", 896), ("hangar", 480)])
def test_the_built_in_sets_are_sources(source: str, count: int) -> None:
    assert len(read(source, Path())) == count
