"""The recipe that `rftkit init` writes: it loads, and it fits the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rftkit.data.examples import load_examples
from rftkit.errors import DataError
from rftkit.preflight.init_folder import starter_recipe
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe

CLOTHING = Path(__file__).parents[3] / "shared/data/cls_clothing10"


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (30, 20)).save(root / name)
    return root


def written(root: Path, *overrides: str) -> Recipe:
    return parse_recipe(starter_recipe(root), "init.toml", overrides)


def test_split_folders_are_found_and_named(tmp_path: Path) -> None:
    folder(tmp_path, *[f"{s}/{c}/{n}.png" for s in ("Train", "valid") for c in "ab" for n in "12"])
    recipe = written(tmp_path)
    assert (recipe.data.splits, recipe.data.shots) == (("Train", "valid"), 2)
    assert len(load_examples(recipe, "Train").examples) == 4
    assert len(load_examples(recipe, "valid").examples) == 4


def test_test_is_taken_before_validation(tmp_path: Path) -> None:
    folder(tmp_path, *[f"{s}/{c}/1.png" for s in ("train", "val", "test") for c in "ab"])
    assert written(tmp_path).data.splits == ("train", "test")


@pytest.mark.parametrize(("count", "shots"), [(2, 1), (3, 2), (5, 4), (50, 4)])
def test_class_folders_get_as_many_shots_as_the_split_leaves(
    tmp_path: Path, count: int, shots: int
) -> None:
    folder(tmp_path, *[f"{c}/{n}.png" for c in "ab" for n in range(count)], "b/more.png")
    recipe = written(tmp_path)
    assert recipe.data.shots == shots
    assert len(load_examples(recipe, "train").examples) == 2 * shots
    assert load_examples(recipe, "test").examples
    assert "one image in five of each class is held out" in starter_recipe(tmp_path)


def test_the_comment_says_what_the_folder_holds(tmp_path: Path) -> None:
    folder(tmp_path, *[f"train/{c}/{n}.png" for c in "abcdefghij" for n in "123"])
    folder(tmp_path, *[f"test/{c}/1.png" for c in "abcdefghij"])
    (tmp_path / "train/c/3.png").unlink()
    (tmp_path / "train/c/notes.txt").write_text("x")
    text = starter_recipe(tmp_path)
    assert "10 classes: a, b, c, d, e, f, g, h, …" in text
    assert "29 images to train on; fewest in 'c': 2" in text
    assert "10 images to test on" in text
    assert "images from 30 × 20 to 30 × 20 pixels" in text
    assert "1 other files, which are skipped" in text


def test_one_override_makes_it_a_smoke_test(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert "--set model.name=tiny" in starter_recipe(tmp_path)
    assert written(tmp_path, "model.name=tiny").model.name == "tiny"


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "ünï 🙂", "br{a}ce", "del\x7f", "#hash"])
def test_any_folder_name_is_quoted(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path / name, "a/1.png", "a/2.png", "b{x}/1.png", "b{x}/2.png")
    assert written(root).data.path == str(root)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "no class folders"),
        (("train/a/1.png",), "'train' has no test folder beside it"),
        (("val/a/1.png",), "'val' has no train folder"),
        (("a/1.png", "b/1.png", "b/2.png"), "one image; it needs two"),
        (("a/1\n.png",), "unreadable characters"),
        (("a\n/1.png",), "unreadable characters"),
    ],
)
def test_folders_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, names: tuple[str, ...], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        starter_recipe(folder(tmp_path, *names))
    with pytest.raises(DataError, match="no such folder"):
        starter_recipe(tmp_path / "none")


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the shared data sets are not here")
def test_a_real_folder_gets_a_recipe_that_loads_its_data() -> None:
    recipe = written(CLOTHING, "model.name=tiny")
    assert len(load_examples(recipe, "train").examples) == 40
    assert len(load_examples(recipe, "test").examples) == 160
