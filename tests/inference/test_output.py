"""What `rftkit predict --out` writes, and how it goes on past a bad file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.core import Completion
from rftkit.errors import DataError, UserError
from rftkit.inference.output import COLUMNS, Output
from rftkit.inference.predict import predict
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.adapter import write_card

CLASSES = 'style = "direct"\n[data]\nsource = "folder"\npath = "x"\n'
BOXES = """
task = "detection"
style = "direct"
model = { name = "Qwen/Qwen3-VL-2B-Instruct" }  # in thousandths
data = { source = "coco", path = "x" }
"""
Adapter = Callable[[str, str, tuple[str, ...]], Path]


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """An adapter of its own, whose model answers the same to everything."""

    def made(recipe: str, reply: str, labels: tuple[str, ...]) -> Path:
        policy = fakes.FakePolicy(lambda *_: Completion(reply, 3))
        monkeypatch.setattr("rftkit.inference.predict.open_for_inference", lambda *_: policy)
        folder = tmp_path / "adapter"
        policy.save(folder)
        write_card(folder, parse_recipe(recipe, "it"), labels)
        return folder

    return made


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "cats" / "a.png", tmp_path / "bad.png", tmp_path / "dogs" / "a.png"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), "red").save(path)
    paths[1].write_bytes(paths[0].read_bytes()[:80])  # a whole header, and no more
    return paths


def rows(folder: Path) -> Iterator[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_a_bad_image_is_left_out_and_said(adapter: Adapter, images: list[Path]) -> None:
    ckpt = adapter(CLASSES, "cat", ("cat", "dog"))
    said = dict[Path, str]()
    found = [*predict(ckpt, images, quiet(), skip=lambda path, why: said.update({path: why}))]
    assert [one.image for one in found] == [images[0], images[2]]
    assert [*said] == [images[1]]
    assert "cut off or broken" in said[images[1]]
    with pytest.raises(DataError, match="cut off or broken"):
        [*predict(ckpt, images, quiet())]


def test_labels_become_a_table_and_captions(
    adapter: Adapter, images: list[Path], tmp_path: Path
) -> None:
    ckpt, out = adapter(CLASSES, "cat", ("cat", "dog")), tmp_path / "out"
    with Output(out) as output:
        for one in predict(ckpt, images, quiet(), skip=output.unread):
            output.add(one)
    table = [*rows(out)]
    assert [row["image"] for row in table] == [str(images[n]) for n in (0, 1, 2)]
    assert [*table[0]] == [*COLUMNS]
    assert [row["answer"] for row in table] == ["cat", "", "cat"]
    assert 0.5 < float(table[0]["confidence"]) < 1
    assert "cut off or broken" in table[1]["error"]
    pictures = sorted((out / "images").iterdir())
    assert [path.name for path in pictures] == ["a-2.jpg", "a.jpg"]
    with Image.open(pictures[0]) as drawn:
        assert drawn.width == 320
        assert drawn.height > 240  # enlarged five times, and a line below it


def test_boxes_become_rows_and_are_drawn(
    adapter: Adapter, images: list[Path], tmp_path: Path
) -> None:
    reply = '[{"Position": [250, 250, 750, 750], "Confidence": 0.5}]'
    ckpt, out = adapter(BOXES, reply, ("cell", "grain")), tmp_path / "out"
    with Output(out) as output:
        for one in predict(ckpt, images[:1], quiet(), skip=output.unread):
            output.add(one)
    table = [*rows(out)]
    assert [(row["asked"], row["answer"], row["confidence"]) for row in table] == [
        ("cell", "cell", "0.5"),
        ("grain", "grain", "0.5"),
    ]
    edges = [float(table[0][name]) for name in ("left", "top", "right", "bottom")]
    assert edges[0] < edges[2]
    with Image.open(out / "images" / "a.jpg") as drawn:
        x, y = round(edges[0] * 5), round((edges[1] + edges[3]) / 2 * 5)
        red, _, blue = drawn.convert("RGB").getpixel((x, y))
        assert blue > red


def test_predictions_are_never_overwritten(tmp_path: Path) -> None:
    with Output(tmp_path / "out"):
        pass
    with pytest.raises(UserError, match="holds predictions already"):
        Output(tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        Output(tmp_path / "file")


def test_names_and_replies_are_no_formulas_and_no_commands_of_a_terminal(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [Path("=1+1.png"), Path("a\x1b[2J.png"), Path("b\udcff.png")]
    for name in names:
        Image.new("RGB", (64, 64)).save(name, "PNG")
    ckpt = adapter(CLASSES, "=HYPERLINK(1)", ("cat",))
    with Output(Path("out")) as output:
        for one in predict(ckpt, names, quiet(), skip=output.unread):
            output.add(one)
    table = [*rows(Path("out"))]
    assert [row["image"] for row in table] == ["'=1+1.png", r"a\x1b[2J.png", r"b\udcff.png"]
    assert {row["reply"] for row in table} == {"'=HYPERLINK(1)"}
