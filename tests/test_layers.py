"""Imports point down, and what must answer quickly loads nothing heavy.

LAYERS lists the modules from the bottom up. A name covers the package of that name, unless a
longer one names the module itself. A module may import from its own layer and from those below,
inside functions too; imports for type checkers do not run and are not looked at. Two packages
span layers: `report` draws pages from a summary alone (low), and puts a run's page together from
its files (high); `data` and `models` share one, because the tiny model learns from drawn pictures.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LAYERS = (
    "errors core printable hints locks",
    "literals replies labels boxes box_text matching",
    "rewards lengths options categories own_rewards",
    "tasks",
    "sections",
    "recipe recipe_file published attacks",
    "runs checkpoints data models shared_prefix plan machine doctor",
    "samples scoring statistics summary ckpt peak_memory",
    "schedule scorer watch fit evaluate starter starter_boxes starter_others score check report",
    "evaluation_files reuse sft grpo recipes report.checked",
    "report.run_page report.results",
    "evaluation compare",
    "train exits notebook",
    "study app cli_common",
    "cli_machine cli_score cli_files cli_demo",
    "cli",
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
ROOT = Path(__file__).parents[1] / "rftkit"

LIGHT = "rftkit.cli, rftkit.recipe, rftkit.recipe_file, rftkit.runs, rftkit.report.results"
HEAVY = (
    "torch transformers trl peft unsloth accelerate bitsandbytes datasets huggingface_hub gradio "
    "matplotlib sklearn scipy numpy PIL"
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def running(tree: ast.AST) -> list[ast.stmt]:
    """Every statement that can run, in functions and classes too."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt) and not for_type_checkers(node):
            found.append(node)
        if not (isinstance(node, ast.stmt) and for_type_checkers(node)):
            found += running(node)
    return found


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
            found |= modules or {node.module or ""}
    return {name.removeprefix("rftkit.") for name in found if name.startswith("rftkit.")}


def level(module: str) -> int:
    """The layer of a module: that of the longest name that covers it."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(LEVELS[name] for name in names if name in LEVELS)


SOURCES = {module: path.read_text("utf-8") for module, path in FILES.items() if module}


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module: str) -> None:
    upwards = {name for name in imports(SOURCES[module]) if level(name) > level(module)}
    assert not upwards, f"{module} is below what it imports: {upwards}"


def test_no_two_modules_need_each_other() -> None:
    graph = {module: imports(source) - {module} for module, source in SOURCES.items()}
    for package in ("data", "models", "report", "summary", "tasks"):
        graph[package] = {name for name in graph[package] if name in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError, naming them


def test_every_layer_names_modules_that_exist() -> None:
    assert [name for name in LEVELS if name not in FILES] == []


def test_imports_are_seen_wherever_they_stand() -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rftkit.cli import app\n"
        "import rftkit.errors\ndef f():\n    try:\n        from rftkit import train\n"
        "    finally:\n        from rftkit.data import folder, rows\n"
    )
    assert imports(source) == {"errors", "train", "data.folder"}


def test_what_must_answer_quickly_loads_nothing_heavy() -> None:
    code = f"import sys, {LIGHT}\nprint(*(m for m in {HEAVY.split()!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
