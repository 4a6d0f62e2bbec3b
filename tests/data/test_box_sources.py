"""VOC and YOLO become rows of boxes; what is malformed is refused by name and place."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_files import names, noted, read, refusal, write_image, written

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.data.sources import voc, yolo

# VOC

XML = """<annotation>
  <filename>a.jpg</filename>
  <size><width>20</width><height>10</height><depth>3</depth></size>
  <object><name>cat</name><difficult>0</difficult>
    <bndbox><xmin>6</xmin><ymin>2</ymin><xmax>15</xmax><ymax>5</ymax></bndbox></object>
  <object><name>dog</name><difficult>1</difficult>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>
</annotation>"""


def voc_set(root: Path, xml: str = XML) -> Path:
    written(root / "Annotations/a.xml", xml)
    written(root / "Annotations/b.xml", XML.replace("<name>dog", "<name>owl"))
    write_image(root / "JPEGImages/a.jpg")
    write_image(root / "JPEGImages/b.png")
    written(root / "ImageSets/Main/train.txt", "a\n")
    written(root / "ImageSets/Main/test.txt", "b\n\n")
    return root / "Annotations/a.xml"


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    path = voc_set(tmp_path)
    (row,) = read("voc", tmp_path)
    assert (row.location, row.image.name) == (str(path), "JPEGImages/a.jpg")
    assert row.values == {
        "size": "20x10",
        "objects": (
            LabelledBox("cat", Box(0.25, 0.1, 0.75, 0.5)),
            LabelledBox("dog", Box(0, 0, 1, 1), crowd=True),
        ),
        "categories": ("cat", "dog", "owl"),
    }
    assert names(read("voc", tmp_path, "test")) == ["JPEGImages/b.png"]
    assert read("voc", tmp_path, "test")[0].values["categories"] == ("cat", "dog", "owl")


def test_voc_without_lists_is_divided_or_has_folders(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        written(tmp_path / f"{split}/{name}.xml", XML)
        write_image(tmp_path / f"{split}/{name}.jpg")
    assert names(read("voc", tmp_path)) == ["train/a.jpg", "train/b.jpg"]
    assert names(read("voc", tmp_path / "{split}", "test")) == ["c.jpg"]
    assert "did you mean 'train'" in refusal("voc", tmp_path, "trian")
    assert len(read("voc", tmp_path / "train")) == 1
    assert len(read("voc", tmp_path / "train", "test")) == 1


WRONG_VOC = [
    ("<name>cat</name>", "", ":4: object[0]: name None is not a text"),
    ("<name>cat", "<name> ", ":4: object[0]: name ' ' is not a text"),
    ("<xmin>6</xmin>", "", ":4: object[0]: xmin None is not a number"),
    ("<xmin>6", "<xmin>six", "xmin 'six' is not a number"),
    ("<xmin>6", "<xmin>nan", "xmin 'nan' is not a number"),
    ("<xmin>6", "<xmin>1e999", "xmin '1e999' is not a number"),
    ("<xmin>6", "<xmin>16", "from (16, 2) to (15, 5) is inside out"),
    ("<xmin>6", "<xmin>-1", "(-2, 1, 15, 5) leaves the image"),
    ("<xmax>15", "<xmax>21", "leaves the image of 20 × 10 pixels"),
    ("<bndbox><xmin>6", "<box><xmin>6", "not XML"),
    ("bndbox>", "box>", ":4: object[0]: no bndbox"),
    ("<difficult>1", "<difficult>yes", ":6: object[1]: difficult 'yes' is neither 0 nor 1"),
    ("<width>20</width>", "", ": size: width None is not a number"),
    ("<width>20", "<width>0", ": size: 0 × 10 pixels is no size"),
    ("<size><width>20</width><height>10</height><depth>3</depth></size>", "", ": size: missing"),
    ("</annotation>", "", "not XML"),
    ("annotation>", "html>", "<html>, not VOC's <annotation>"),
    ("<annotation>", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>', ":1: a DOCTYPE"),
    ("<annotation>", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation>', ":1: a DOCTYPE"),
    ("<name>cat", "<name>&x;", "not XML"),
]


@pytest.mark.parametrize(("old", "new", "what"), WRONG_VOC)
def test_what_is_wrong_in_voc_is_refused_by_line(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    assert old in XML
    path = voc_set(tmp_path, XML.replace(old, new))
    line = refusal("voc", tmp_path)
    assert line.startswith(str(path))
    assert what in line


def test_voc_files_of_other_encodings_are_refused(tmp_path: Path) -> None:
    path = voc_set(tmp_path)
    path.write_bytes(XML.replace("cat", "kät").encode("latin-1"))
    assert "not XML in UTF-8" in refusal("voc", tmp_path)
    path.write_text('<?xml version="1.0" encoding="UTF-7"?>' + XML)
    assert len(voc.read_annotations(path).values["objects"]) == 2  # type: ignore[arg-type]
    path.write_text(XML + " " * voc.MAX_BYTES)
    assert "above 4 MB" in refusal("voc", tmp_path)
    path.write_bytes(XML.replace("<ann", "<!DOCTYPE a><ann").encode("utf-16"))
    assert ":1: a DOCTYPE" in refusal("voc", tmp_path)


def test_voc_corners_at_zero_are_noted(tmp_path: Path) -> None:
    voc_set(tmp_path, XML.replace("<xmin>6", "<xmin>0"))
    (row,) = read("voc", tmp_path)
    assert row.values["objects"][0].box == Box(0, 0.1, 0.75, 0.5)  # type: ignore[index]
    assert noted("voc", tmp_path) == [
        f"{tmp_path}/: 1 boxes have a corner at 0, as if counted from 0; VOC counts from 1: read "
        "a pixel too wide"
    ]


def test_voc_images_go_with_their_xml(tmp_path: Path) -> None:
    path = voc_set(tmp_path)
    write_image(tmp_path / "JPEGImages/a.png")
    assert names(read("voc", tmp_path)) == ["JPEGImages/a.jpg"]  # as `filename` says
    path.write_text(XML.replace("a.jpg", "x.jpg"))
    assert f"{path}: a.jpg and a.png in" in refusal("voc", tmp_path)
    (tmp_path / "JPEGImages/a.png").unlink()
    (tmp_path / "JPEGImages/a.jpg").unlink()
    assert f"{path}: no image 'a' in {tmp_path}/JPEGImages/" in refusal("voc", tmp_path)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("c", "train.txt:2: no c.xml in"),
        ("a", "train.txt:2: 'a' is in the list twice"),
        ("../Annotations/b", "train.txt:2: no ../Annotations/b.xml"),
        ("b\x00", "unreadable characters"),
    ],
)
def test_what_is_wrong_in_a_list_of_voc_is_refused(tmp_path: Path, line: str, what: str) -> None:
    voc_set(tmp_path)
    written(tmp_path / "ImageSets/Main/train.txt", f"a\n{line}\n")
    assert what in refusal("voc", tmp_path)
    assert "no val.txt; there are: test, train" in refusal("voc", tmp_path, "val")


def test_a_folder_without_xml_is_refused(tmp_path: Path) -> None:
    assert "no XML files" in refusal("voc", tmp_path)
    assert "a file, not a folder" in refusal("voc", write_image(tmp_path / "a.jpg"))


# YOLO

LABELS = "0 0.5 0.5 0.5 0.6\n\n1 0.1 0.2 0.9 0.2 0.5 0.8\n"


def yolo_set(root: Path, labels: str = LABELS, yaml: str = "") -> Path:
    write_image(root / "images/train/a.jpg")
    write_image(root / "images/train/b.jpg", 10, 20, turn=6)
    write_image(root / "images/val/c.jpg")
    path = written(root / "labels/train/a.txt", labels)
    written(root / "labels/val/c.txt", LABELS)
    names = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
    written(root / "data.yaml", yaml or names)
    return path


VAL = {"splits": ["train", "val"]}


def test_yolo_gives_boxes_and_the_boxes_around_polygons(tmp_path: Path) -> None:
    path = yolo_set(tmp_path)
    first, second = read("yolo", tmp_path / "data.yaml", **VAL)
    assert (first.location, first.image.name) == (str(path), "images/train/a.jpg")
    cat, dog = first.values["objects"]  # type: ignore[misc]
    assert cat == LabelledBox("cat", pytest.approx(Box(0.25, 0.2, 0.75, 0.8)))  # type: ignore[arg-type]
    assert dog == LabelledBox("dog", pytest.approx(Box(0.1, 0.2, 0.9, 0.8)))  # type: ignore[arg-type]
    assert first.values["size"] == "20x10"
    assert second.values == {"size": "20x10", "objects": (), "categories": ("cat", "dog")}
    assert second.image.open().size == (20, 10)  # upright
    assert names(read("yolo", tmp_path, "val", **VAL)) == ["images/val/c.jpg"]


WRONG_LABELS = [
    ("2 0.5 0.5 0.5 0.5", "class '2' has no name; there are 2, numbered from 0 to 1"),
    ("cat 0.5 0.5 0.5 0.5", "class 'cat' has no name"),
    ("-1 0.5 0.5 0.5 0.5", "class '-1' has no name"),
    ("²" + " 0.5" * 4, "class '\\xb2' has no name"),
    ("9" * 5000 + " 0.5" * 4, "has no name"),
    ("0 0.5 0.5 0.5", "4 values; a box has 5"),
    ("0 0.5 0.5 0.5 0.5 0.9", "6 values; a box has 5"),
    ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "8 values"),
    ("0 0.5 0.5 0 0.5", "box 0 wide and 0.5 high"),
    ("0 0.5 0.5 0.5 -0.5", "box 0.5 wide and -0.5 high"),
    ("0 0.5 0.5 nan 0.5", "'nan' is not a number"),
    ("0 0.5 0.5 inf 0.5", "'inf' is not a number"),
    ("0 0.5 0.5 x 0.5", "'x' is not a number"),
    ("0 0.9 0.5 0.5 0.5", "leaves the image of 20 × 10 pixels"),
    ("0 320 240 100 100", "leaves the image"),
    ("0 0.1 0.1 0.5 0.1 0.9 0.1", "has no area"),
]


@pytest.mark.parametrize(("line", "what"), WRONG_LABELS)
def test_what_is_wrong_in_yolo_is_refused_by_line(tmp_path: Path, line: str, what: str) -> None:
    path = yolo_set(tmp_path, f"{LABELS}{line}\n")
    found = refusal("yolo", tmp_path, **VAL)
    assert found.startswith(f"{path}:4: ")
    assert what in found


def test_yolo_edges_a_hair_outside_are_clipped(tmp_path: Path) -> None:
    yolo_set(tmp_path, "0 0.5 0.5 1.000001 1.02\n")
    (thing,) = read("yolo", tmp_path, **VAL)[0].values["objects"]  # type: ignore[misc]
    assert thing.box == Box(0, 0, 1, 1)
    assert [note.partition(": ")[2] for note in noted("yolo", tmp_path, **VAL)] == [
        "1 boxes reached less than a pixel beyond their image; clipped"
    ]


def test_the_noise_of_written_decimals_is_not_noted(tmp_path: Path) -> None:
    yolo_set(tmp_path, "0 0.5 0.5 1.000001 1.000001\n")
    (thing,) = read("yolo", tmp_path, **VAL)[0].values["objects"]  # type: ignore[misc]
    assert thing.box == Box(0, 0, 1, 1)
    assert noted("yolo", tmp_path, **VAL) == []


def test_labels_without_a_image_and_other_files_are_refused(tmp_path: Path) -> None:
    path = yolo_set(tmp_path)
    written(tmp_path / "labels/train/classes.txt", "cat\n")
    assert len(read("yolo", tmp_path, **VAL)) == 2
    extra = written(tmp_path / "labels/train/z.txt", LABELS)
    assert refusal("yolo", tmp_path, **VAL).startswith(f"{extra}: labels without an image")
    extra.unlink()
    path.write_text(" " * (yolo.MAX_BYTES + 1))
    assert f"{path}: above 10 MB" in refusal("yolo", tmp_path, **VAL)
    path.write_bytes(b"\xff\xfe0\x00")
    assert f"{path}: not UTF-8" in refusal("yolo", tmp_path, **VAL)
    path.unlink()
    assert f"{path}: no such file, nor any other labels" in refusal("yolo", tmp_path, **VAL)


def test_yolo_folders_without_a_yaml(tmp_path: Path) -> None:
    yolo_set(tmp_path)
    (tmp_path / "data.yaml").unlink()
    assert "no data.yaml and no classes.txt" in refusal("yolo", tmp_path, **VAL)
    written(tmp_path / "classes.txt", "cat\ndog\n")
    assert names(read("yolo", tmp_path, **VAL)) == ["images/train/a.jpg", "images/train/b.jpg"]
    assert "there are: train, val" in refusal("yolo", tmp_path, "test")
    other = tmp_path / "other"
    for number in range(5):
        write_image(other / f"train/images/{number}.jpg")
    written(other / "train/labels/1.txt", LABELS)
    written(other / "classes.txt", "cat\ndog\n")
    assert len(read("yolo", other)) == 5
    written(other / "train/classes.txt", "cat\ndog\n")
    assert names(read("yolo", other / "{split}"))[0] == "images/0.jpg"
    assert len(read("yolo", other / "train")) == 4
    assert len(read("yolo", other / "train", "test")) == 1
    (other / "train/images/0.png").write_bytes((other / "train/images/0.jpg").read_bytes())
    assert "two images share one file of labels" in refusal("yolo", other)
    line = refusal("yolo", other, images=str(other))
    assert line == f"{other}/: holds its own images, without a data.yaml; clear data.images"
    written(tmp_path / "empty/classes.txt", "cat\ndog\n")
    assert "empty/: no images/train (folders: none)" in refusal("yolo", tmp_path / "empty")
    (tmp_path / "empty/images/train").mkdir(parents=True)
    assert "empty/images/train/: no images" in refusal("yolo", tmp_path / "empty")


YAML = "train: images/train\nval: images/val\nnames: "
WRONG_YAML = [
    ("train: [", "not YAML"),
    ("- 1", "no keys"),
    ("a: &a [1]\nb: *a", "not YAML (an alias"),
    ("a: !!python/object/apply:os.system ['true']", "not YAML"),
    ("#" * 1_000_001, "above 1 MB"),
    (YAML, "names None is not a list of class names"),
    (YAML + "cat", "names 'cat' is not a list"),
    (YAML + "[cat, cat]", "names[1]: name 'cat' is that of another class too"),
    (YAML + "[cat, 3]", "names[1]: name 3 is not a text"),
    (YAML + "{a: cat}", "names['a']: not the number of a class"),
    (YAML + "{true: cat}", "names[True]: not the number"),
    ("train: 3\nnames: [cat]", "train 3 is not the name of a folder"),
    ("train: /etc\nnames: [cat]", "train '/etc' leaves"),
    ("train: images/../../x\nnames: [cat]", "leaves"),
    ("train: images/none\nnames: [cat]", "no 'images/none' below"),
    ("val: images/val\nnames: [cat]", "no split 'train'; there are: val; set data.splits"),
    ("path: 3\n" + YAML + "[cat]", "path 3 is not the name of a folder"),
]


@pytest.mark.parametrize(("yaml", "what"), WRONG_YAML)
def test_what_is_wrong_in_data_yaml_is_refused(tmp_path: Path, yaml: str, what: str) -> None:
    yolo_set(tmp_path, yaml=yaml)
    line = refusal("yolo", tmp_path / "data.yaml", **VAL)
    assert line.startswith(str(tmp_path / "data.yaml"))
    assert what in line


def test_data_yaml_is_read_as_it_is_found_in_the_wild(tmp_path: Path) -> None:
    exported = (
        "path: /content/x\ntrain: ../images/train\nval: [images/val]\nnames: {0: cat, 1: dog}"
    )
    yolo_set(tmp_path, yaml=exported)
    assert len(read("yolo", tmp_path, **VAL)) == 2
    assert noted("yolo", tmp_path, **VAL) == [
        f"{tmp_path}/data.yaml: its path '/content/x' is not a folder below it; its own folder is "
        "taken"
    ]
    listed = "train: train.txt\nval: images/val\nnames: [cat, dog]"
    yolo_set(tmp_path, yaml=listed)
    written(tmp_path / "train.txt", "./images/train/a.jpg\n\n")
    written(tmp_path / "labels/train/b.txt", LABELS)  # of an image that is not listed
    assert names(read("yolo", tmp_path, **VAL)) == ["images/train/a.jpg"]
    written(tmp_path / "train.txt", "./images/train/a.jpg\n/etc/x.jpg\n")
    assert "train.txt:2: '/etc/x.jpg' leaves" in refusal("yolo", tmp_path, **VAL)


def test_boxes_are_read_without_images(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "1 0.5 0.5 1 1\n")
    assert yolo.read_annotations(path, {1: "dog"}) == [(f"{path}:1", "dog", (0.0, 0.0, 1.0, 1.0))]
