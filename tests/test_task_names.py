"""Only tasks/ asks for a task's name: what varies between tasks is a field of Task."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rftkit.tasks import TASKS

ROOT = Path(__file__).parents[1] / "rftkit"
NAMES = {task.name for task in TASKS}
OTHERS = ("kind", "unit", "lastgroup")  # of answers, metrics and tokens, some called "number"


def constants(node: ast.AST) -> set[str]:
    """The texts of a constant, or of a tuple, list or set of constants."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)}


def asked(tree: ast.AST) -> Iterator[int]:
    """Lines that compare something with a task's name, or that choose by one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            of_kind = any(ast.unparse(side).endswith(OTHERS) for side in sides)
            if not of_kind and any(constants(side) & NAMES for side in sides):
                yield node.lineno
        elif isinstance(node, ast.Dict):
            keys = {text for key in node.keys if key for text in constants(key)}
            if len(keys & NAMES) > 1:
                yield node.lineno
        elif isinstance(node, ast.Subscript) and len(constants(node.slice) & NAMES) > 1:
            yield node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("get_task"):
            yield from [node.lineno for argument in node.args if constants(argument) & NAMES]


OUTSIDE = [path for path in sorted(ROOT.rglob("*.py")) if path.parent.name != "tasks"]


def test_nobody_outside_tasks_asks_for_a_tasks_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in OUTSIDE
        for line in asked(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def test_no_template_asks_for_a_tasks_name() -> None:
    files = [path for ending in ("j2", "js", "css") for path in ROOT.rglob(f"*.{ending}")]
    assert files
    found = [
        (path.name, name)
        for path in files
        for name in sorted(NAMES)
        if f'"{name}"' in path.read_text("utf-8")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ('if recipe.task == "detection": pass', True),
        ('x = task in ("choice", "number")', True),
        ('x = {"detection": 1, "grounding": 2}', True),
        ('get_task("number")', True),
        ('x = task.answer_kind == "number"', False),
        ('unit = "number"', False),
    ],
)
def test_asking_for_a_name_is_seen(source: str, seen: bool) -> None:
    assert bool([*asked(ast.parse(source))]) is seen
