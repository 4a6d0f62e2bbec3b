"""Boxes meet images: the grid of a model's texts, turned images, the notes of the check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rftkit.answers import box_text, boxes
from rftkit.answers.boxes import Box
from rftkit.core import Example
from rftkit.data.box_grid import annotated_size, grid_setter
from rftkit.data.examples import Examples, load_examples
from rftkit.data.images import FileImage
from rftkit.errors import DataError
from rftkit.model_info.families import SCENES_FAMILY
from rftkit.preflight.box_notes import box_notes
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model

QWEN2 = Model(name="Qwen/Qwen2-VL-2B-Instruct")
QWEN25 = Model(name="Qwen/Qwen2.5-VL-3B-Instruct")
TINY = Model(name="tiny-scenes")
CAT = Box(0.25, 0.25, 0.5, 0.5)


def image(folder: Path, size: tuple[int, int] = (640, 480), orientation: int = 1) -> FileImage:
    path = folder / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return FileImage(path, "a.jpg")


def example(shown: FileImage, *gold: Box, **meta: str) -> Example:
    known = {"grid": "1000x1000", **meta}
    return Example(
        "a.jpg: cat", shown, "?", boxes.dump_boxes(gold or [CAT]), location="a.json", meta=known
    )


@pytest.mark.parametrize(("model", "grid", "written"), [
    (QWEN2, "1000x1000", "(250,250),(500,500)"),
    (QWEN25, "644x476", "(161,119),(322,238)"),  # multiples of 28 nearest to 640 and 480
    (Model(name="someone/else"), "1000x1000", "(250,250),(500,500)"),
])  # fmt: skip
def test_an_example_gets_the_grid_of_the_model(
    tmp_path: Path, model: Model, grid: str, written: str
) -> None:
    placed = grid_setter(model)(example(image(tmp_path)))
    assert placed.meta == {"grid": grid, "size": "640x480"}
    assert box_text.write_box(CAT, boxes.Grid.of(placed.meta)) == written


def test_a_built_in_model_has_a_grid_of_its_own(tmp_path: Path) -> None:
    placed = grid_setter(TINY)(example(image(tmp_path)))
    assert SCENES_FAMILY.units
    assert placed.meta["grid"] == str(boxes.Grid(*SCENES_FAMILY.units)) != "1000x1000"


def test_a_image_above_the_budget_has_a_smaller_grid(tmp_path: Path) -> None:
    model = QWEN25.model_copy(update={"max_pixels": 50_176})  # 64 squares of 28 pixels
    placed = grid_setter(model)(example(image(tmp_path)))
    assert placed.meta["grid"] == "252x168"
    assert placed.meta["size"] == "640x480"


def test_the_size_of_the_annotation_is_kept_if_the_image_is_a_copy(tmp_path: Path) -> None:
    placed = grid_setter(QWEN25)(example(image(tmp_path), size="1280x961"))
    assert (placed.meta["size"], annotated_size(placed)) == ("1280x961", (1280, 961))
    assert placed.meta["grid"] == "644x476"


@pytest.mark.parametrize("model", [QWEN2, QWEN25])
def test_a_image_that_lies_on_its_side_is_refused(tmp_path: Path, model: Model) -> None:
    turned = image(tmp_path, orientation=6)
    assert grid_setter(model)(example(turned, size="480x640")).meta["size"] == "480x640"
    with pytest.raises(DataError) as caught:
        grid_setter(model)(example(turned, size="640x480"))
    assert str(caught.value) == (
        "a.json: annotated as 640 × 480 pixels, but a.jpg is 480 × 640; is it turned or cropped?"
    )


def test_an_example_without_boxes_is_left_as_it_is() -> None:
    class Closed:
        name = "a.jpg"

        def open(self) -> Image.Image:
            raise AssertionError("opened")

    plain = Example("a", Closed(), "?", "cat")
    assert grid_setter(QWEN25)(plain) is plain


def test_the_header_of_a_image_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def size(shown: FileImage) -> tuple[int, int]:
        read.append(shown.name)
        return 640, 480

    monkeypatch.setattr("rftkit.data.box_grid.upright_size", size)
    location, shown = grid_setter(QWEN25), image(tmp_path)
    assert [location(example(shown)).meta["grid"] for _ in range(3)] == ["644x476"] * 3
    assert read == ["a.jpg"]


# What `rftkit check` says


def noted(model: Model, folder: Path, *gold: Box, **shown: Any) -> tuple[str, ...]:
    return box_notes(model, [grid_setter(model)(example(image(folder, **shown), *gold))])


def test_the_check_names_the_coordinates_and_the_trip_through_text(tmp_path: Path) -> None:
    assert noted(QWEN2, tmp_path) == (
        "boxes are written in 1000x1000 units (Qwen2-VL)",
        "gold against gold through text: mean IoU 1.000, least 1.000",
    )
    assert noted(QWEN25, tmp_path)[0] == (
        "boxes are written in pixels of the resized image (Qwen2.5-VL)"
    )


def test_the_check_says_that_a_family_is_not_known(tmp_path: Path) -> None:
    notes = noted(Model(name="someone/else"), tmp_path)
    assert notes[1].startswith("model.name: 'someone/else' is of no known family; its boxes are")


def test_the_check_names_boxes_that_rounding_spoils(tmp_path: Path) -> None:
    small = Box(0.1, 0.1, 0.10144, 0.5)  # 1.44 units wide become 1
    notes = noted(QWEN2, tmp_path, CAT, small)
    share = 1 / 1.44
    assert f"mean IoU {(1 + share) / 2:.3f}, least {share:.3f}" in notes[1]
    assert notes[2] == "1 boxes lose over 20% to rounding: a.jpg: cat"
    fine = noted(QWEN2, tmp_path, CAT, Box(0.1, 0.1, 0.12, 0.5))
    assert not [note for note in fine if "to rounding" in note]


def test_the_check_names_boxes_that_the_budget_shrinks_away(tmp_path: Path) -> None:
    small = Box(0.5, 0.5, 0.52, 0.9)  # 41 pixels of 2048, 6 of a small budget
    for budget, said in ((12_845_056, 0), (401_408, 0), (50_176, 1)):
        model = QWEN2.model_copy(update={"max_pixels": budget})
        notes = noted(model, tmp_path, small, size=(2048, 1024))
        assert len([note for note in notes if "raise model.max_pixels: a.jpg: cat" in note]) == said


def test_a_larger_budget_is_not_advised_where_the_image_has_no_more(tmp_path: Path) -> None:
    notes = noted(QWEN2, tmp_path, Box(0.5, 0.5, 0.51, 0.9))  # 6 pixels of 640
    assert notes[-1].endswith("wide or high in the image itself: a.jpg: cat")


def test_the_check_has_no_note_where_there_are_no_boxes() -> None:
    assert box_notes(QWEN25, []) == ()
    assert box_notes(QWEN25, [Example("a", FileImage(Path("a"), "a"), "?", "cat")]) == ()


# From a table to the grid


def grounded(folder: Path, model: str, **row: object) -> Examples:
    image(folder)
    lines = [{"image": "a.jpg", "phrase": "a cat", "split": s, **row} for s in ("train", "test")]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = {"source": "jsonl", "path": str(folder / "t.jsonl")}
    mine = Recipe.model_validate({"task": "grounding", "model": {"name": model}, "data": data})
    return load_examples(mine, "train")


def test_a_table_counts_in_its_grid_and_the_model_in_its_own(tmp_path: Path) -> None:
    found = grounded(tmp_path, QWEN25.name, box=[160, 120, 320, 240], grid="640x480")
    (one,) = found.examples
    assert boxes.load_boxes(one.gold) == [CAT]
    assert (one.meta["grid"], one.meta["half"]) == ("644x476", "all")
