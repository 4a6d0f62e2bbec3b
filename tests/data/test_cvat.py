"""CVAT's XML for images becomes rows: boxes, tags, attributes; what is none of it one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from annotated_files import names, noted, read, refusal, write_image, written
from effort import assert_effort

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.core import Row
from rftkit.data.sources.exports import xml_file
from rftkit.errors import DataError
from rftkit.tasks import fields
from rftkit.tasks.options import FieldOptions
from rftkit.tasks.reading import Reading

XML = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><labels>
    <label><name>cat</name><type>any</type></label>
    <label><name>owl</name><type>bbox</type></label>
    <label><name>blurred</name><type>tag</type></label>
  </labels></job></meta>
  <image id="0" name="a.png" width="200" height="100">
    <box label="cat" source="manual" xtl="20.00" ytl="20" xbr="81" ybr="60" z_order="0">
      <attribute name="text">tabby 3</attribute>
    </box>
  </image>
  <image id="1" name="sub/b.png" width="200" height="100">
  </image>
</annotations>
"""
TAGS = """<annotations>
  <image id="0" name="a.png" width="200" height="100">
    <tag label="receipt" source="manual">
      <attribute name="shop">Old  Mill</attribute>
      <attribute name="total">12.50</attribute>
      <attribute name="paid">true</attribute>
    </tag>
  </image>
  <image id="1" name="sub/b.png" width="200" height="100"><tag label="form"></tag></image>
  <image id="2" name="c.png" width="200" height="100"></image>
</annotations>
"""


def export(root: Path, xml: str = XML, folder: str = "images/") -> Path:
    for name in ("a.png", "sub/b.png", "c.png"):
        write_image(root / f"{folder}{name}", 200, 100)
    return written(root / "annotations.xml", xml)


def by_name(path: Path) -> dict[str, Row]:
    return {row.image.name: row for row in [*read("cvat", path), *read("cvat", path, "test")]}


def test_boxes_count_pixels_from_zero(tmp_path: Path) -> None:
    path = export(tmp_path)
    rows = by_name(path)
    assert set(rows) == {"images/a.png", "images/sub/b.png"}
    assert rows["images/a.png"].location == f"{path}:9: image 'a.png'"
    assert rows["images/a.png"].values == {
        "size": "200x100",
        "objects": (LabelledBox("cat", Box(0.1, 0.2, 0.405, 0.6)),),
        "categories": ("cat", "owl"),
        "cat": "tabby 3",
    }
    assert rows["images/sub/b.png"].values["objects"] == ()


@pytest.mark.parametrize("folder", ["", "images/"])
def test_the_zip_and_the_folder_are_read_as_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "set"
    export(root, folder=folder)
    assert set(by_name(root)) == {f"{folder}a.png", f"{folder}sub/b.png"}
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as packed:
        for file in root.rglob("*.*"):
            packed.write(file, file.relative_to(root))
    assert set(by_name(tmp_path / "job.zip")) == {f"{folder}a.png", f"{folder}sub/b.png"}


def test_tags_are_labels_and_their_attributes_fields(tmp_path: Path) -> None:
    path = export(tmp_path, TAGS)
    rows = by_name(path)
    assert {name: row.values["label"] for name, row in rows.items()} == {
        "images/a.png": "receipt",
        "images/sub/b.png": "form",
    }
    assert noted("cvat", path)[0] == f"{path}: 1 images have no tag; left out"
    schema = {"fields": {"shop": "string", "total": "number", "paid": "boolean"}}
    reading = Reading(FieldOptions.model_validate(schema))
    (example,) = fields.TASK.read(rows["images/a.png"], reading)
    assert json.loads(example.gold) == {"shop": "Old Mill", "total": 12.5, "paid": True}


def test_subsets_of_a_project_are_its_splits(tmp_path: Path) -> None:
    subsets = XML.replace('id="0"', 'id="0" subset="Train"')
    subsets = subsets.replace('id="1"', 'id="1" subset="Test"')
    path = export(tmp_path, subsets)
    assert names(read("cvat", path, "Train", splits=("Train", "Test"))) == ["images/a.png"]
    assert names(read("cvat", path, "Test", splits=("Train", "Test"))) == ["images/sub/b.png"]
    one = export(tmp_path, XML.replace("<image ", '<image subset="default" '))
    assert len(by_name(one)) == 2


@pytest.mark.parametrize(
    ("shape", "box", "note"),
    [
        ('polygon label="x" points="20,20;80.5,30;40,60"', (0.1, 0.2, 0.4025, 0.6), "around"),
        ('ellipse label="x" cx="100" cy="50" rx="20" ry="10"', (0.4, 0.4, 0.6, 0.6), "around"),
        ('mask label="x" rle="1, 2" left="20" top="20" width="60" height="40"',
         (0.1, 0.2, 0.4, 0.6), "around"),
        ('box label="x" xtl="80" ytl="40" xbr="120" ybr="60" rotation="90"',
         (0.45, 0.3, 0.55, 0.7), "rotated"),
        ('box label="x" xtl="0" ytl="0" xbr="40" ybr="20" rotation="90"',
         (0.05, 0.0, 0.15, 0.3), "rotated"),
        ('box label="x" xtl="-0.5" ytl="0" xbr="40" ybr="20"', (0, 0, 0.2, 0.2), "clipped"),
    ],
)  # fmt: skip
def test_other_shapes_become_the_boxes_around_them(
    tmp_path: Path, shape: str, box: tuple[float, ...], note: str
) -> None:
    xml = XML.replace("  </image>\n</ann", f"<{shape}></{shape.split()[0]}></image></ann")
    path = export(tmp_path, xml)
    (thing,) = by_name(path)["images/sub/b.png"].values["objects"]  # type: ignore[misc]
    assert [*thing.box] == pytest.approx(box)
    told = {"around": "around other shapes", "rotated": "rotated", "clipped": "clipped"}[note]
    assert any(told in line for line in noted("cvat", path))


def test_shapes_without_an_inside_are_left_out_and_noted(tmp_path: Path) -> None:
    xml = XML.replace("  </image>\n</ann", '<points label="x" points="1,2"/></image></ann')
    path = export(tmp_path, xml)
    assert by_name(path)["images/sub/b.png"].values["objects"] == ()
    assert any("1 shapes of kind 'points' have no box; left out" in n for n in noted("cvat", path))


BOX = 'xtl="20.00"'
WRONG = [
    ("<annotations>", "<annotation>", "<annotation>, not <annotations>"),
    ("<annotations>", '<!DOCTYPE a [<!ENTITY x "y">]><annotations>', ":2: a DOCTYPE"),
    ("<annotations>", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations>', ":2: a DOCTYPE"),
    ("tabby 3", "&x;", "not XML in UTF-8"),
    ("</annotations>", "", "not XML in UTF-8"),
    ("</annotations>", '<track id="0" label="x"></track></annotations>', "a track of a video"),
    ('name="a.png"', "", "no name"),
    ('name="sub/b.png"', 'name="a.png"', "stands there twice, first at"),
    ('width="200"', 'width="many"', "width 'many' is not a number"),
    ('width="200"', 'width="0"', "0 × 100 pixels is no size"),
    ('<box label="cat"', "<box", "label None is not a text"),
    ('<box label="cat"', '<box label="&lt;think&gt;"', "holds a tag"),
    (BOX, "", "box at line 10: xtl None is not a number"),
    (BOX, 'xtl="nan"', "xtl 'nan' is not a number"),
    (BOX, 'xtl="90"', "has no area, or is inside out"),
    ('xbr="81"', 'xbr="281"', "leaves the image of 200 × 100 pixels"),
    ('z_order="0"', 'rotation="x"', "rotation 'x' is not a number"),
    ('name="a.png"', 'name="z.png"', "no image 'z.png' in"),
    ("<box label", "<polygon points='1;2' label", "not XML"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_what_is_wrong_is_refused_by_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in XML
    path = export(tmp_path, XML.replace(old, new, 1))
    with pytest.raises(DataError) as error:
        by_name(path)
    line = str(error.value)
    assert line.startswith(str(path))
    assert said in line
    assert "\n" not in line


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal("cvat", tmp_path / "x.xml")
    assert "annotations.xml: no such file" in refusal("cvat", tmp_path)
    path = written(tmp_path / "annotations.xml", "<annotations></annotations>")
    assert "no images; export the task as 'CVAT for images 1.1'" in refusal("cvat", path)


def test_a_deep_and_a_huge_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "<a>" * 100_000
    path = export(tmp_path, f"<annotations><image>{deep}")
    assert_effort(400, refusal, "cvat", path)
    assert "too deep" in refusal("cvat", path)
    monkeypatch.setattr(xml_file, "LARGEST", 3)
    assert "too many" in refusal("cvat", export(tmp_path, TAGS))
    monkeypatch.setattr(xml_file, "MAX_BYTES", 10)
    assert "above 0 MB" in refusal("cvat", path)
