"""The recipes of the papers' data sets: sound without data, as their comments and the docs say."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rftkit.cli.check import check
from rftkit.recipe.builtin import builtin_recipes, find_recipe, find_study
from rftkit.recipe.toml import load_recipe
from rftkit.report.published import Figure, figures, matching

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recipes.md"
STUDIES = ROOT / "recipes" / "studies"  # grids of recipes, not recipes
RECIPES = [p for p in sorted((ROOT / "recipes").rglob("*.toml")) if STUDIES not in p.parents]

SET = re.compile(r"--set ('[^']+'|[^\s`]+)")
HERE = re.compile(r"# Here:   ([\d,]+) steps of (\d+) prompts with (\d+) completions")
LIST_SIZE = re.compile(r"lists of (\d+)")
METRICS = {"mAP": "mAP", "mIoU": "mIoU", "minutes": "minutes on 8 A100"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def comment(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]


def variant(text: str) -> list[str]:
    """The overrides of a line, without the shell's quotes."""
    return [shlex.split(change)[0] for change in SET.findall(text)]


def variants(path: Path) -> list[list[str]]:
    """What the comment offers to change, a line each."""
    return [changes for line in comment(path) if (changes := variant(line))]


def documented() -> list[tuple[Path, list[str]]]:
    """The recipe and the overrides of each command on the page."""
    found = []
    for line in PAGE.read_text("utf-8").replace("\\\n", " ").splitlines():
        if (changes := variant(line)) and (name := re.search(r"recipes/\w+\.toml", line)):
            found.append((ROOT / name[0], changes))
    return found


def quoted(path: Path) -> list[str]:
    """The lines of published figures, continued ones joined."""
    lines: list[str] = []
    inside = False
    for line in comment(path):
        inside = line.startswith("# Published") or (inside and line.startswith("#   "))
        if inside and line.startswith("#     "):
            lines[-1] += " " + line[1:].strip()
        elif inside and line.startswith("#   "):
            lines.append(line[1:].strip())
    return lines


def figures_of(line: str) -> Iterator[tuple[dict[str, Any], float]]:
    """What a line says of each figure, and its value.

    A line is `paper setting[, metric][, model][, lists of n][, axis a/b/…]: method x/y/…, …`; the
    axis is `shots` or `parts`.
    """
    about, _, values = line.partition(": ")
    start, *more = about.split(", ")
    paper, _, setting = start.partition(" ")
    known: dict[str, Any] = {"paper": paper, "setting": setting, "metric": "accuracy", "part": ""}
    known["model"], axis, places = "Qwen2-VL-2B", "part", [""]
    for word in more:
        if word.startswith("Qwen"):
            known["model"] = word
        elif word in METRICS:
            known["metric"] = METRICS[word]
        elif size := LIST_SIZE.fullmatch(word):
            known["list_size"] = int(size[1])
        else:
            axis, _, listed = word.partition(" ")
            places, axis = listed.split("/"), axis.removesuffix("s")
            assert axis in ("shot", "part"), line
    for item in values.split(", "):
        method, _, numbers = item.partition(" ")
        for location, number in zip(places, numbers.split("/"), strict=True):
            own: dict[str, Any] = {**known, "method": method}
            if axis == "part":
                own["part"] = location
            elif method != "base":
                own["shots"] = int(location)
            yield own, float(number)


def says(figure: Figure, about: dict[str, Any]) -> bool:
    return all(getattr(figure, key) == value for key, value in about.items())


def test_there_are_recipes_to_check() -> None:
    assert {"quickstart.toml", "aircraft_4shot.toml", "coco_8.toml"} <= {p.name for p in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_a_recipe_is_sound_without_its_data(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(path, [], schema_only=True)
    assert capsys.readouterr().out.split() == f"{path}: the recipe is sound".split()


def test_the_command_checks_a_recipe_by_its_name() -> None:
    words = [sys.executable, "-c", "from rftkit.cli.main import main; main()"]
    done = subprocess.run(
        [*words, "check", "lisa", "--schema-only"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "the recipe is sound" in " ".join(done.stdout.split())


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_each_change_that_a_comment_offers_is_one(path: Path) -> None:
    whole = load_recipe(path)
    for changes in variants(path):
        assert load_recipe(path, changes) != whole, changes


def test_each_change_on_the_page_is_one() -> None:
    assert len(documented()) >= 10
    for path, changes in documented():
        assert load_recipe(path, changes) != load_recipe(path), changes


def test_every_change_on_the_page_stands_in_a_command() -> None:
    commands = [changes for _, changes in documented()]
    text = PAGE.read_text("utf-8").replace("\\\n", " ")
    assert [found for line in text.splitlines() if (found := variant(line))] == commands


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_a_comment_says_what_is_run(path: Path) -> None:
    found = HERE.search("\n".join(comment(path)))
    if found is None:
        assert "# Paper:" not in path.read_text("utf-8")
        return
    method = load_recipe(path).method
    steps, prompts, completions = (int(number.replace(",", "")) for number in found.groups())
    assert (steps, prompts, completions) == (method.steps, method.batch_size, method.group_size)


@pytest.mark.parametrize("path", RECIPES, ids=named)
def test_a_published_figure_is_quoted_as_it_was_printed(path: Path) -> None:
    data_sets = {figure.data_set for figure in matching(load_recipe(path))}
    for line in quoted(path):
        for about, value in figures_of(line):
            found = [f.value for f in figures() if f.data_set in data_sets and says(f, about)]
            assert found == [value], (line, about)


def test_every_published_setting_has_a_recipe_that_quotes_it() -> None:
    found = {
        (figure.data_set, figure.setting)
        for path in RECIPES
        for changes in [[], *variants(path)]
        for figure in matching(load_recipe(path, changes))
        if any(line.startswith(f"{figure.paper} {figure.setting}") for line in quoted(path))
    }
    assert found == {(figure.data_set, figure.setting) for figure in figures()}


def test_the_page_lists_every_recipe_of_a_paper() -> None:
    text = PAGE.read_text("utf-8")
    of_papers = [path for path in RECIPES if "# Here:" in path.read_text("utf-8")]
    assert len(of_papers) >= 18
    assert [path.name for path in of_papers if f"(../{named(path)})" not in text] == []


def test_the_figures_on_the_page_are_published_ones() -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]\(.*?\)(.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    seen = 0
    for stem, cells in rows:
        found = matching(load_recipe(ROOT / "recipes" / f"{stem}.toml"))
        printed = {float(number) for number in re.findall(r"\d+\.\d+", cells)}
        assert printed <= {figure.value for figure in found}, stem
        seen += len(printed)
    assert seen >= 50


def test_the_page_writes_split_files_that_can_be_read(tmp_path: Path) -> None:
    from rftkit import data

    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    space: dict[str, Any] = {}
    exec(code[0], space)
    imagenet, aircraft = tmp_path / "imagenet", tmp_path / "fgvc_aircraft"
    for name in ("train/n01/a.JPEG", "train/n02/b.JPEG", "val/n01/c.JPEG", "val/n02/d.JPEG"):
        touch(imagenet / "images" / name)
    (imagenet / "classnames.txt").write_text("n01 tench\nn02 great white shark\n")
    space["imagenet"](imagenet)
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        touch(aircraft / "images" / name)
    (aircraft / "variants.txt").write_text("707-320\nA300B4\n")
    for split, line in (("train", "1 A300B4"), ("val", "2 707-320"), ("test", "3 707-320")):
        (aircraft / f"images_variant_{split}.txt").write_text(f"{line}\n")
    space["aircraft"](aircraft)

    found = {}
    for recipe, root, name in (
        ("imagenet_4shot", imagenet, "ImageNet"),
        ("aircraft_4shot", aircraft, "FGVCAircraft"),
    ):
        changes = {
            "source": "coop",
            "path": str(root / f"split_zhou_{name}.json"),
            "images": str(root / "images"),
        }
        sets = [f"data.{key}={json.dumps(value)}" for key, value in changes.items()]
        own = load_recipe(ROOT / "recipes" / f"{recipe}.toml", sets).data
        found[name] = [
            (split, row.values["image"], row.values["label_id"], row.values["label"])
            for split in own.splits
            for row in data.rows(own, split)
        ]
    assert found == {
        "ImageNet": [
            ("train", "train/n01/a.JPEG", 0, "tench"),
            ("train", "train/n02/b.JPEG", 1, "great white shark"),
            ("test", "val/n01/c.JPEG", 0, "tench"),
            ("test", "val/n02/d.JPEG", 1, "great white shark"),
        ],
        "FGVCAircraft": [("train", "1.jpg", 1, "A300B4"), ("test", "3.jpg", 0, "707-320")],
    }


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not opened")


def test_what_lies_in_the_current_folder_does_not_take_the_name_of_a_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("seed = 1")
    (tmp_path / "does_thinking_help_tiny").mkdir()
    (tmp_path / "quickstart.toml").write_text("seed = 1")
    assert find_recipe(Path("quickstart")) == builtin_recipes()["quickstart"]
    assert find_study(Path("does_thinking_help_tiny")).is_file()
    assert find_recipe(Path("quickstart.toml")) == Path("quickstart.toml")
    assert find_recipe(tmp_path / "quickstart") == tmp_path / "quickstart"
