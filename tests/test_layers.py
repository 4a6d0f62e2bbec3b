"""Imports point down, package by package, and what must answer quickly loads nothing heavy.

ORDER lists the rooms of `rftkit/` from the bottom up. A module may import from its own room and
from the rooms of lower lines, inside functions too; rooms of one line do not import each other,
but for the values at the very bottom. Imports for type checkers do not run and do not count.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ORDER = (
    "core errors messages cache files exits",
    "answers",
    "measures rewards",
    "tasks",
    "recipe",
    "model_info patches runs",
    "data",
    "metrics hardware shared_prefix",
    "models preflight report",
    "evaluation inference rationales web",
    "training comparison",
    "api",
    "study app notebook bench export publish serve",
    "cli",
    "__main__",
)
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms.split()}
ROOT = Path(__file__).parents[1] / "rftkit"
ROOMS_HOLD = 16  # modules at most; a room in a room counts for itself
MODULES_IN_ROOT = 8

LIGHT = (
    "rftkit.cli.main, rftkit.recipe.schema, rftkit.recipe.toml, rftkit.runs.run, "
    "rftkit.cli.show.runs"
)
# what is wrong with a recipe, data or folder is said before torch is loaded, which takes seconds
UNTIL_A_MODEL = (
    "rftkit.training.run, rftkit.evaluation.run, rftkit.inference.predict, rftkit.serve.run, "
    "rftkit.rationales.run, rftkit.evaluation.baselines, rftkit.preflight.check"
)
HEAVY = (
    "torch transformers trl peft unsloth accelerate bitsandbytes datasets huggingface_hub gradio "
    "matplotlib sklearn scipy numpy PIL"
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
SOURCES = {module: path.read_text("utf-8") for module, path in FILES.items() if module}


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def running(tree: ast.AST) -> list[ast.AST]:
    """Every node that can run, in functions and classes too."""
    children = [node for node in ast.iter_child_nodes(tree) if not for_type_checkers(node)]
    return children + [inner for node in children for inner in running(node)]


def imports(source: str) -> set[str]:
    """The modules of rftkit that a source imports, without the leading `rftkit.`."""
    found = set()
    for node in running(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import: {ast.unparse(node)}"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inside if name.removeprefix("rftkit.") in FILES}
            others = inside - modules
            found |= modules | ({node.module or ""} if others else set())
    return {name.removeprefix("rftkit.") for name in found if name.startswith("rftkit.")}


def room(module: str) -> str:
    return module.partition(".")[0]


def may_import(here: str, there: str) -> bool:
    """Whether a module of the room `here` may import from the room `there`."""
    values = LEVELS[here] == LEVELS[there] == 0
    return here == there or values or LEVELS[there] < LEVELS[here]


def loop(graph: dict[str, set[str]]) -> list[str]:
    """The names along a loop of imports; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module: str) -> None:
    wrong = {name for name in imports(SOURCES[module]) if not may_import(room(module), room(name))}
    assert not wrong, f"{module} is not above what it imports: {wrong}"


def test_no_loop_between_packages() -> None:
    graph = {name: set[str]() for name in LEVELS}
    for module, source in SOURCES.items():
        graph[room(module)] |= {room(name) for name in imports(source)} - {room(module)}
    for value in ORDER[0].split():  # single files, which the next test looks at
        graph[value] = set()
    assert loop(graph) == []


def test_no_loop_inside_a_package() -> None:
    assert loop({name: imports(source) - {name} for name, source in SOURCES.items()}) == []


def test_a_package_that_needs_its_own_members_counts_as_a_loop() -> None:
    assert loop({"data": {"data.folder"}, "data.folder": {"data"}}) != []


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(module) for module in SOURCES} == {*LEVELS}


def test_the_rooms_are_small() -> None:
    in_root = [path for path in ROOT.glob("*.py") if not path.name.startswith("__")]
    assert len(in_root) <= MODULES_IN_ROOT
    for package in {path.parent for path in FILES.values()} - {ROOT}:
        modules = [path for path in package.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= ROOMS_HOLD, package


def test_every_room_says_what_it_holds() -> None:
    for path in ROOT.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path


@pytest.mark.parametrize(
    ("here", "there", "allowed"),
    [
        ("tasks", "rewards", True),
        ("rewards", "tasks", False),
        ("report", "preflight", False),
        ("core", "errors", True),
        ("core", "answers", False),
    ],
)
def test_a_room_imports_from_lower_lines_only(here: str, there: str, allowed: bool) -> None:
    assert may_import(here, there) is allowed


def test_imports_are_seen_wherever_they_stand() -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rftkit.cli import main\n"
        "import rftkit.errors\ndef f():\n    try:\n        from rftkit.training import run\n"
        "    finally:\n        from rftkit.data import images, rows\n"
    )
    assert imports(source) == {"errors", "training.run", "data.images", "data"}


@pytest.mark.parametrize(("modules", "heavy"), [(LIGHT, HEAVY), (UNTIL_A_MODEL, "torch trl")])
def test_what_must_answer_quickly_loads_nothing_heavy(modules: str, heavy: str) -> None:
    code = f"import sys, {modules}\nprint(*(m for m in {heavy.split()!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
