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
from typing import Any, get_args

import pytest
import typer
from PIL import Image
from test_layers import ORDER

from rftkit.answers import boxes
from rftkit.cli.main import app
from rftkit.core import Completion, Example
from rftkit.data import rows
from rftkit.metrics.completions import score_lines
from rftkit.recipe.builtin import headline
from rftkit.recipe.schema import SOURCES_OF, Recipe
from rftkit.recipe.sections import Source
from rftkit.recipe.toml import leaf_keys, load_recipe, parse_recipe
from rftkit.rewards.length import Length
from rftkit.tasks import TASKS, get_task
from rftkit.tasks.reading import Reading
from rftkit.training.callbacks import NAMES

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
STUDIES = ROOT / "recipes" / "studies"  # grids of recipes, not recipes
RECIPES = [p for p in sorted((ROOT / "recipes").rglob("*.toml")) if STUDIES not in p.parents]
TASKS_PAGE = ROOT / "docs" / "tasks.md"
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
    return loaded("make_recipe_reference")


def loaded(name: str) -> ModuleType:
    """The program of that name in docs/, as a module."""
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_reference_is_what_the_schema_says(reference: ModuleType) -> None:
    known = (ROOT / "docs" / "recipe.md").read_text("utf-8")
    assert known == reference.page(), "stale: python docs/make_recipe_reference.py"


def test_the_page_of_models_is_what_is_declared() -> None:
    known = (ROOT / "docs" / "models.md").read_text("utf-8")
    page = loaded("make_models_page").page()
    assert known == page, "stale: python docs/make_models_page.py"


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    known = (ROOT / "docs" / "cli.md").read_text("utf-8")
    page = loaded("make_cli_reference").page()
    assert known == page, "stale: python docs/make_cli_reference.py"


def test_the_keys_of_the_metrics_are_explained() -> None:
    page = (ROOT / "docs" / "runs.md").read_text("utf-8")
    table = page.partition("## Keys of metrics.jsonl")[2].partition("\n## ")[0]
    own = {"step", "phase", "rewards", "seconds", "validation", "validation_seconds"}
    first = (line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", " ".join(first))) == {*NAMES.values(), *own}


def test_the_recipe_reference_names_every_key(reference: ModuleType) -> None:
    text = reference.page()
    missing = [key for key in leaf_keys() if f"| `{key.rsplit('.', 1)[-1]}` |" not in text]
    assert [key for key in missing if f"### `[{key}]`" not in text] == []
    for model in (Length, *(task.options for task in TASKS)):
        assert [key for key in model.model_fields if f"| `{key}` |" not in text] == []


@pytest.mark.parametrize("page", **named(PAGES))
def test_relative_links_resolve(page: Path) -> None:
    for target in LINK.findall(without_blocks(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        location = page.parent / name if name else page
        assert location.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(location), f"{page.name}: {target}"


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
        changes = [change for flag, change in pairwise(words) if flag == "--set"]
        named = [ROOT / word for word in words if word.startswith("recipes/")]
        for path in named:
            load_recipe(path, changes)
        if not named:
            parse_recipe("", line, ["data.source=digits", *changes])


@pytest.mark.parametrize("page", **named(PAGES))
def test_toml_blocks_are_recipes(page: Path) -> None:
    for body in blocks(page, "toml"):
        parse_recipe(body, page.name, [] if "source" in body else ["data.source=digits"])


def sections_of(page: Path) -> dict[str, str]:
    """Title of a section -> its text, code blocks too."""
    parts = page.read_text("utf-8").split("\n## ")[1:]
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def row_of(task: str) -> tuple[str, str]:
    """The task's line in the table of tasks, and the text of the section that it links to."""
    page = TASKS_PAGE.read_text("utf-8")
    rows = re.findall(rf"^\| \[{task}\]\(#([\w-]+)\) .*$", page, re.MULTILINE)
    assert len(rows) == 1, f"docs/tasks.md: the table of tasks needs one line for {task!r}"
    (row,) = (line for line in page.splitlines() if line.startswith(f"| [{task}](#"))
    titles = {title.lower().replace(" ", "-"): title for title in sections_of(TASKS_PAGE)}
    assert rows[0] in titles, f"docs/tasks.md: no section {rows[0]!r} for {task!r}"
    return row, sections_of(TASKS_PAGE)[titles[rows[0]]]


every_task = pytest.mark.parametrize("task", [task.name for task in TASKS])


@every_task
def test_the_page_of_tasks_shows_prompt_rewards_and_options(task: str) -> None:
    chosen, (_, text) = get_task(task), row_of(task)
    assert f"```text\n{chosen.prompt(chosen.sample, 'think')}\n```" in text
    for name in chosen.rewards.keys() - {"format"}:
        assert f"| `{name}` | {chosen.default_weights.get(name, 0):g} | " in text
    for name in chosen.options.model_fields:
        assert f"| `{name}` | " in text or f"`options.{name}`" in text


@every_task
def test_what_the_page_of_tasks_scores_is_scored_so(task: str) -> None:
    (body,) = re.findall(r"^```json\n(.*?)^```$", row_of(task)[1], re.M | re.S)
    given, wanted = body.splitlines()
    assert [*score_lines([given], task, "think", "strict")] == [wanted]


@every_task
def test_the_page_of_tasks_names_the_sources(task: str) -> None:
    assert {*re.findall(r"`(\w+)`", row_of(task)[0])} == {*SOURCES_OF[task]}


def test_every_source_has_its_place_on_the_page_of_data() -> None:
    text = (ROOT / "docs" / "data.md").read_text("utf-8")
    assert [name for name in get_args(Source) if f"`{name}`" not in text] == []


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
    run = next(line for line in top if line.startswith("# Run:    rftkit "))
    assert run.endswith(f" {path.relative_to(ROOT).as_posix()}")  # `train`, or `eval … --data`


@pytest.mark.parametrize("path", **named(RECIPES))
def test_a_recipe_holds_no_key_that_says_what_is_the_case_anyway(path: Path) -> None:
    table = tomllib.loads(path.read_text("utf-8"))
    whole = Recipe.model_validate(table)
    for location, key in leaves(table):
        value = location.pop(key)
        assert not same(table, whole), f"{key} = {value!r} is the default"
        location[key] = value


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


def test_the_readme_or_the_page_of_recipes_names_every_recipe() -> None:
    pages = [ROOT / "README.md", ROOT / "docs" / "recipes.md"]
    text = "".join(page.read_text("utf-8") for page in pages).replace("(../recipes/", "(recipes/")
    names = [path.relative_to(ROOT).as_posix() for path in RECIPES]
    assert [name for name in names if f"({name})" not in text] == []


def flags(command: Any) -> set[str]:
    known = {flag for part in command.params for flag in (*part.opts, *part.secondary_opts)}
    return known | {"--help"}


def json_blocks(title: str) -> list[str]:
    """The text blocks of data.md under a title that hold JSON."""
    text = (ROOT / "docs" / "data.md").read_text("utf-8").split(f"\n### {title}\n")[1]
    part = text.split("\n### ")[0]
    return [
        body for body in re.findall(r"^```text\n(.*?)^```$", part, re.M | re.S) if body[0] == "{"
    ]


def images_in(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (640, 480)).save(folder / name)


def read(folder: Path, task: str, source: str, name: str, **more: object) -> list[Example]:
    given = {"source": source, "path": str(folder / name), **more}
    recipe = Recipe.model_validate({"task": task, "data": given})
    reading = Reading(recipe.options, {**recipe.data.columns})
    found = rows(recipe.data, "train")
    return [example for row in found for example in get_task(task).read(row, reading)]


def test_the_rows_of_the_page_of_data_are_read(tmp_path: Path) -> None:
    images_in(tmp_path, "1.jpg", "2.jpg")
    (body,) = json_blocks("Tables")
    tasks = ("classification", "detection", "grounding", "choice", "number")
    for task, line in zip(tasks, body.splitlines(), strict=True):
        (tmp_path / "train.jsonl").write_text(line)
        (example,) = read(tmp_path, task, "jsonl", "")
        attempt = get_task(task).attempt(
            example, "think", Completion(get_task(task).ideal(example, "think"))
        )
        assert get_task(task).rewards_of(attempt)[get_task(task).headline] > 0.99
        assert len(example.others) == (task == "choice")


def test_the_annotations_of_the_page_of_data_are_read(tmp_path: Path) -> None:
    images_in(tmp_path, "1.jpg")
    texts = {name: json_blocks(name)[0] for name in ("COCO and LVIS", "Phrases", "Conversations")}
    (tmp_path / "coco-train.json").write_text(texts["COCO and LVIS"])
    (cat,) = read(tmp_path, "detection", "coco", "coco-{split}.json")
    assert cat.category == "cat"
    (tmp_path / "train.jsonl").write_text(texts["Phrases"])
    phrases = read(tmp_path, "grounding", "refs", "{split}.jsonl")
    assert [example.id for example in phrases] == [
        f"1.jpg: {phrase}" for phrase in ("the left cat", "the right cat", "the grey one")
    ]
    assert boxes.load_boxes(phrases[0].gold) == boxes.load_boxes(cat.gold)
    (tmp_path / "talks-train.json").write_text(f"[{texts['Conversations']}]")
    (count,) = read(tmp_path, "number", "llava", "talks-{split}.json")
    assert (count.question, count.gold) == ("How many cats are there?", "2")
    more = {"columns": {"label": "answer"}}
    (label,) = read(tmp_path, "classification", "llava", "talks-{split}.json", **more)
    assert label.gold == "2"


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    told = set(re.findall(r"(?m)(?:^ {2,}| {2})(\w+)(?:/|\.py)(?=\s)", page))
    rooms = {name for line in ORDER for name in line.split()}
    assert rooms - told == set()
