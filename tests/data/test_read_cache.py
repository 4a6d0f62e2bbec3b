"""No command parses an annotation file twice, whichever splits it reads."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import fakes
import pytest
from PIL import Image

from rftkit.cli import main as cli
from rftkit.core import Completion, Example
from rftkit.data.examples import load_examples
from rftkit.data.read_cache import ReadCache
from rftkit.data.sources import annotated, tables
from rftkit.data.sources.tables import Record
from rftkit.evaluation import run as evaluation
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe, load_recipe
from rftkit.runs.adapter import write_card
from rftkit.runs.run import RunFolder
from rftkit.tasks.choice import ASKS
from rftkit.training.run import Steps

CATEGORIES = ("cat", "cow", "dog", "emu")


def coco(file: Path, count: int) -> None:
    """Annotated images, each with a box of every category."""
    names = [f"{file.stem}-{n}.png" for n in range(count)]
    for n, name in enumerate(names):
        Image.new("RGB", (64, 48), (n, 90, len(file.stem))).save(file.parent / name)
    boxes = [(image, category) for image in range(count) for category in range(len(CATEGORIES))]
    file.write_text(
        json.dumps({
            "images": [
                {"id": n, "file_name": name, "width": 64, "height": 48}
                for n, name in enumerate(names)
            ],
            "categories": [{"id": n, "name": name} for n, name in enumerate(CATEGORIES)],
            "annotations": [
                {"id": n, "image_id": image, "category_id": category, "bbox": [8, 8, 32, 24]}
                for n, (image, category) in enumerate(boxes)
            ],
        })
    )  # fmt: skip


def recipe(root: Path, task: str, data: str) -> Path:
    path = root / "r.toml"
    path.write_text(f'task = "{task}"\nmodel.name = "tiny"\n[data]\n{data}\n', "utf-8")
    return path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each annotation file or table was parsed, by its name."""
    counts: Counter[str] = Counter()
    read_json = annotated.read_json

    def counted_json(path: Path, hook: annotated.Hook | None = None) -> object:
        counts[path.name] += 1
        return read_json(path, hook)

    def counted(read: Callable[[Path], Iterator[Record]]) -> Callable[[Path], Iterator[Record]]:
        def counted_table(path: Path) -> Iterator[Record]:
            counts[path.name] += 1
            return read(path)

        return counted_table

    monkeypatch.setattr("rftkit.data.sources.coco.read_json", counted_json)
    for name, read in tables.READERS.items():
        monkeypatch.setitem(tables.READERS, name, counted(read))
    return counts


@pytest.fixture
def rftkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a command that goes well; the model of an evaluation is one that finds nothing."""
    policy = fakes.FakePolicy(lambda name, tuned: Completion("No Objects", 2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Steps, "trained_model", lambda *_: None)
    monkeypatch.setattr(Steps, "evaluate", lambda *_: None)
    monkeypatch.setattr(evaluation, "open_for_inference", lambda *_: policy)
    monkeypatch.setattr(evaluation, "_report", lambda *_: None)

    def run(*words: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", ["rftkit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code

    return run


def trained(folder: Path, given: Path) -> Path:
    """A trained run of a recipe, without weights."""
    mine, run = load_recipe(given), RunFolder(folder)
    fakes.FakePolicy(fakes.never).save(run.adapter)
    write_card(run.adapter, mine, CATEGORIES)
    run.resolved.write_text(dump_recipe(mine), "utf-8")
    run.set_status("trained", labels=CATEGORIES, versions={"rftkit": "0"})
    return folder


@pytest.mark.parametrize("classes", ["all", "base"])
@pytest.mark.parametrize(("path", "files"), [
    ("all.json", {"all.json": 1}),
    ("{split}.json", {"train.json": 1, "test.json": 1}),
])  # fmt: skip
def test_a_file_of_boxes_is_parsed_once_in_a_command(
    tmp_path: Path,
    parsed: Counter[str],
    rftkit: Callable[..., None],
    classes: str,
    path: str,
    files: dict[str, int],
) -> None:
    for name in ("all", "train", "test"):
        coco(tmp_path / f"{name}.json", 10)
    given = recipe(
        tmp_path,
        "detection",
        f'source = "coco"\npath = "{tmp_path}/{path}"\nclasses = "{classes}"',
    )
    run = trained(tmp_path / "run", given)
    for command, expected in (
        (("train", given, "--dry-run"), {}),
        (("check", given, "--schema-only"), {}),
        (("check", given), files),
        (("train", given, "--out", "out"), files),
        (("eval", "--ckpt", run), files),
        (("score", "--attack", given), files),
    ):
        parsed.clear()
        rftkit(*command)
        assert (command, parsed) == (command, expected)


@pytest.mark.parametrize("classes", ["all", "base"])
@pytest.mark.parametrize("marked", [True, False])
def test_a_table_is_parsed_once_in_a_command(
    tmp_path: Path,
    parsed: Counter[str],
    rftkit: Callable[..., None],
    classes: str,
    marked: bool,
) -> None:
    lines = ["image,label,split" if marked else "image,label"]
    for number in range(20):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
        split = f",{'test' if number < 8 else 'train'}" if marked else ""
        lines.append(f"{number}.png,{CATEGORIES[number % 4]}{split}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    given = recipe(
        tmp_path,
        "classification",
        f'source = "csv"\npath = "{tmp_path}/t.csv"\nclasses = "{classes}"',
    )
    run = trained(tmp_path / "run", given)
    for command in (("check", given), ("train", given, "--out", "out"), ("eval", "--ckpt", run)):
        parsed.clear()
        rftkit(*command)
        assert (command, parsed) == (command, {"t.csv": 1})


def test_what_was_noted_is_noted_of_each_read(tmp_path: Path) -> None:
    cache, notes = ReadCache(), list[str]()
    calls: list[int] = []

    def read(note: Callable[[str], None]) -> int:
        note("clipped")
        calls.append(1)
        return len(calls)

    assert [cache.once("a", read, notes.append), cache.once("a", read, notes.append)] == [1, 1]
    assert notes == ["clipped", "clipped"]
    assert cache.once("b", read) == 2


def test_recipes_that_read_otherwise_do_not_share_a_split(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "1.png")
    row = {"image": "1.png", "options": [*"vwxyz"], "answer": "v", "right": "z"}
    lines = [json.dumps({**row, "split": split}) for split in ("train", "test")]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    cache = ReadCache()

    def first(data: dict[str, object], **changes: object) -> Example:
        given = {"source": "jsonl", "path": str(tmp_path / "t.jsonl"), **data}
        mine = Recipe.model_validate({"task": "choice", "data": given, **changes})
        return load_examples(mine, "test", cache=cache).examples[0]

    assert first({}, options={"shuffle": False}).choices == tuple("vwxyz")
    assert first({}).choices != tuple("vwxyz")
    assert first({}).choices != first({}, seed=1).choices
    assert (first({}).gold, first({"columns": {"answer": "right"}}).gold) == ("v", "z")
    assert (first({}).question, first({"question": "Say:"}).question) == (ASKS, "Say:")
