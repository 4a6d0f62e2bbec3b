"""What README, docs and recipes say is true: links resolve, commands parse, recipes load."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from rftkit.cli import app
from rftkit.recipe import Recipe
from rftkit.recipe_file import leaf_keys, load_recipe, parse_recipe
from rftkit.recipes import headline

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(rftkit [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
GROUP: Any = typer.main.get_command(app)


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text("utf-8"))
    return [body for name, body in found if name == language]


def without_blocks(page: Path) -> str:
    return BLOCK.sub("", page.read_text("utf-8"))


def shell_lines(page: Path) -> list[str]:
    """The rftkit commands in a page's shell blocks, each from its name to a pipe or the end."""
    lines = [line for body in blocks(page, "bash") for line in body.splitlines()]
    pieces = [piece.strip() for line in lines for piece in line.split(" | ")]
    return [piece for piece in pieces if piece.startswith("rftkit ")]


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)[1:]
    return words[: words.index("<")] if "<" in words else words


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def named(paths: list[Path]) -> dict[str, Any]:
    return {"argvalues": paths, "ids": [path.relative_to(ROOT).as_posix() for path in paths]}


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = ROOT / "docs" / "make_recipe_reference.py"
    spec = importlib.util.spec_from_file_location("make_recipe_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_reference_is_what_the_schema_says(reference: ModuleType) -> None:
    known = (ROOT / "docs" / "recipe.md").read_text("utf-8")
    assert known == reference.page(), "stale: python docs/make_recipe_reference.py"


def test_the_recipe_reference_names_every_key(reference: ModuleType) -> None:
    text = reference.page()
    assert [key for key in leaf_keys() if f"| `{key.rsplit('.', 1)[-1]}` |" not in text] == []


@pytest.mark.parametrize("page", **named(PAGES))
def test_relative_links_resolve(page: Path) -> None:
    for target in LINK.findall(without_blocks(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


@pytest.mark.parametrize("page", **named(PAGES))
def test_shell_commands_parse(page: Path) -> None:
    for line in shell_lines(page):
        verb, *rest = words_of(line)
        if verb.startswith("--"):
            assert verb in flags(GROUP), line
            continue
        GROUP.commands[verb].make_context(verb, rest).close()


@pytest.mark.parametrize("page", **named(PAGES))
def test_commands_in_the_text_have_verbs_and_flags_that_exist(page: Path) -> None:
    for line in INLINE.findall(without_blocks(page)):
        verb, *rest = words_of(line)
        command = GROUP if verb.startswith("--") else GROUP.commands[verb]
        given = [word for word in (verb, *rest) if word.startswith("--")]
        assert set(given) <= flags(command), line


@pytest.mark.parametrize("page", **named(PAGES))
def test_recipes_and_keys_in_commands_exist(page: Path) -> None:
    for line in [*shell_lines(page), *INLINE.findall(without_blocks(page))]:
        words = words_of(line)
        for word in words:
            assert not word.startswith("recipes/") or (ROOT / word).is_file(), line
        for flag, change in pairwise(words):
            if flag == "--set":
                parse_recipe("", line, ["data.source=digits", change])


@pytest.mark.parametrize("page", **named(PAGES))
def test_toml_blocks_are_recipes(page: Path) -> None:
    for body in blocks(page, "toml"):
        parse_recipe(body, page.name, [] if "source" in body else ["data.source=digits"])


def test_commands_are_found_at_all() -> None:
    assert len(shell_lines(ROOT / "README.md")) >= 5
    assert sum(len(INLINE.findall(without_blocks(page))) for page in PAGES) >= 10


def test_there_are_recipes() -> None:
    assert {"quickstart.toml", "aircraft_4shot.toml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", **named(RECIPES))
def test_a_recipe_loads(path: Path) -> None:
    assert isinstance(load_recipe(path), Recipe)


@pytest.mark.parametrize("path", **named(RECIPES))
def test_a_recipe_says_at_its_top_what_it_teaches_and_costs(path: Path) -> None:
    top = path.read_text("utf-8").split("\n\n", 1)[0].splitlines()
    assert all(line.startswith("#") for line in top)
    assert 20 <= len(headline(path)) <= 100
    for start in ("# Memory: ", "# Score:  ", "# Date:   "):
        assert [line for line in top if line.startswith(start)], start
    assert f"# Run:    rftkit train {path.relative_to(ROOT).as_posix()}" in top


@pytest.mark.parametrize("path", **named(RECIPES))
def test_a_recipe_holds_no_key_that_says_what_is_the_case_anyway(path: Path) -> None:
    table = tomllib.loads(path.read_text("utf-8"))
    whole = Recipe.model_validate(table)
    for place, key in leaves(table):
        value = place.pop(key)
        assert not same(table, whole), f"{key} = {value!r} is the default"
        place[key] = value


def same(table: dict[str, Any], whole: Recipe) -> bool:
    try:
        return Recipe.model_validate(table) == whole
    except ValueError:
        return False  # a key that cannot be left out


def leaves(table: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for key, value in list(table.items()):
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield table, key


def test_the_readme_names_every_recipe() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    names = [path.relative_to(ROOT).as_posix() for path in RECIPES]
    assert [name for name in names if f"({name})" not in text] == []


def flags(command: Any) -> set[str]:
    known = {flag for part in command.params for flag in (*part.opts, *part.secondary_opts)}
    return known | {"--help"}
