"""What `rftkit rationales` writes is data that a recipe reads: the same examples, and reasoning."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import pytest
from rich.console import Console

from rftkit.core import Completion, Example
from rftkit.data.examples import load_examples
from rftkit.data.gold_check import load_checked_splits
from rftkit.errors import RecipeError
from rftkit.rationales import run as command
from rftkit.rationales.run import RationalesRequest, write_rationales
from rftkit.rationales.table import prepare, recipe_for
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe

Told = list[tuple[str, tuple[str, ...], str, str | None, int]]


def told(examples: tuple[Example, ...]) -> Told:
    """What must be the same of examples that are read again."""
    return [
        (e.gold, e.choices, e.question, e.rationale, hash(e.image.open().tobytes()))
        for e in examples
    ]


def read_again(recipe: Recipe, folder: Path) -> tuple[Recipe, Told, Told]:
    """The recipe for the tables of a recipe, and the examples of both, before and after."""
    folder.mkdir()
    train, test = load_checked_splits(recipe)
    reasons = {e.id: "it looks so" for e in train.examples[::2]}
    tables = prepare(recipe, train.examples, test.examples, folder)
    tables.write("train", reasons)
    tables.write("test")
    again = parse_recipe(recipe_for(recipe, tables), "again")
    new_train, new_test = load_checked_splits(again)
    given = [replace(e, rationale=reasons.get(e.id)) for e in train.examples]
    before = told((*given, *(replace(e, rationale=None) for e in test.examples)))
    return again, before, told((*new_train.examples, *new_test.examples))


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ('[data]\nsource = "digits"\nshots = 2\nquestion = "Which digit?"', "csv"),
        ('task = "choice"\n[data]\nsource = "scenes"\npath = "choice"', "jsonl"),
        ('task = "number"\n[data]\nsource = "scenes"\npath = "number"', "csv"),
        ('task = "grounding"\n[data]\nsource = "scenes"\npath = "grounding"', "jsonl"),
        ('task = "detection"\n[data]\nsource = "scenes"\npath = "detection"', "jsonl"),
    ],
)
def test_the_examples_of_every_task_are_read_again(text: str, suffix: str, tmp_path: Path) -> None:
    recipe = parse_recipe(f'{text}\n[model]\nname = "tiny"\n[eval]\nlimit = 5\n', "test")
    again, before, after = read_again(recipe, tmp_path / "out")
    assert again.data.source == suffix
    assert sorted(after, key=repr) == sorted(before, key=repr)


def test_images_that_are_files_are_named_where_they_are(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / "pets" / split / label
            folder.mkdir(parents=True)
            for number in range(2):
                shade = 40 * number + 100 * (label == "dog") + 17 * (split == "test")
                fakes.BlankImage("x", shade).open().save(folder / f"{number}.png")
    recipe = parse_recipe(f'[data]\nsource = "folder"\npath = "{tmp_path}/pets"\n', "test")
    again, before, after = read_again(recipe, tmp_path / "out")
    assert again.data.images == str(tmp_path / "pets")
    assert sorted(after, key=repr) == sorted(before, key=repr)
    assert not (tmp_path / "out" / "images").exists()


Write = Callable[..., command.Rationales]


@pytest.fixture
def asked() -> list[str]:
    """The images that the model was asked about."""
    return []


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Write:
    """Writes rationales of 20 digits by a model that is right about even ones."""
    labels = {e.image.name: e.gold for e in load_examples(fakes.recipe(), "train").examples}
    labels |= {e.image.name: e.gold for e in load_examples(two(), "train").examples}

    def answer(name: str, tuned: bool) -> Completion:
        asked.append(name)
        right = f'<think>a, "b"\nc</think>\n<answer>{labels[name]}</answer>'
        return Completion("none" if int(labels[name]) % 2 else right, 7)

    def run(limit: int = 10_000, recipe: Recipe | None = None, **more: Any) -> command.Rationales:
        policy = fakes.FakePolicy(answer, limit=limit)
        monkeypatch.setattr(command, "open_for_inference", lambda model: policy)
        request = RationalesRequest(recipe=recipe or two(), out=tmp_path / "out", samples=2)
        return write_rationales(replace(request, **more), Console(file=io.StringIO()))

    return run


def two(**more: object) -> Recipe:
    return fakes.recipe(
        data={"source": "digits", "shots": 2}, eval={"limit": 4, "batch_size": 10}, **more
    )


def rationales_in(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["rationale"] for row in csv.DictReader(file)]


def test_what_is_found_is_counted_by_class_and_written(write: Write) -> None:
    found = write()
    assert (found.kept, found.examples, found.right, found.samples) == (10, 20, 20, 40)
    assert found.classes["4"] == (2, 2)
    assert found.classes["5"] == (0, 2)
    assert "none of the replies was right for: 1, 3, 5, 7, 9" in found.lines()[-1]
    assert sorted(set(rationales_in(found.table))) == ["", 'a, "b"\nc']
    record = json.loads(json.dumps(found.record()))
    assert record["classes"]["5"] == {"rationales": 0, "examples": 2}
    trained = load_examples(parse_recipe(found.recipe.read_text("utf-8"), "new"), "train").examples
    assert {e.gold for e in trained if e.rationale} == set("02468")


def test_a_model_that_is_never_right_is_told_in_words(write: Write) -> None:
    silent = command.Rationales(Path("t"), Path("r"), 16, 0, {"cat": (0, 1), "dog": (0, 1)})
    assert silent.lines()[-1].startswith("the base model earns no reward on any example")


def test_a_stopped_call_leaves_a_table_and_goes_on(write: Write, asked: list[str]) -> None:
    whole = write()
    text = whole.table.read_text("utf-8")
    shutil.rmtree(whole.table.parent)
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        write(limit=25)
    assert len(asked) == 20, "two batches of five examples"
    partly = rationales_in(whole.table)
    assert len(partly) == 20
    with (whole.table.parent / command.SAMPLED).open("a") as file:
        file.write('{"batch": [{"id"')  # a line that the kill has torn
    asked.clear()
    assert write().record() == whole.record()
    assert len(asked) == 20, "the other two"
    assert whole.table.read_text("utf-8") == text


def test_another_choice_asks_nothing_anew_and_other_settings_are_refused(
    write: Write, asked: list[str]
) -> None:
    write()
    asked.clear()
    write(keep="first")
    assert asked == []
    with pytest.raises(RecipeError, match=r"samples is 4, was 2; name another --out"):
        write(samples=4)


def test_a_folder_of_other_things_is_left_alone(write: Write, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(RecipeError, match="holds other files"):
        write()


@pytest.mark.parametrize("kind", ["grpo", "exact"])
def test_a_direct_recipe_is_asked_to_think(write: Write, kind: str) -> None:
    found = write(recipe=two(style="direct", method={"kind": kind, "max_new_tokens": 8}))
    made = parse_recipe(found.recipe.read_text("utf-8"), "new")
    assert (made.style, made.method.kind, made.method.max_new_tokens) == ("think", "grpo", 256)
