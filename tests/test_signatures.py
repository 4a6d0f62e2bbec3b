"""Functions take at most five parameters: more belong together in a value with a name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "rftkit"
MOST = 5
BY_RIGHT = {  # what people or other libraries call
    "api.py": "the Python API has a keyword for each option of a command",
    "cli": "Typer makes an option of each parameter",
    "app/calls.py": "Gradio makes an API field of each parameter",
    "shared_prefix/trainer.py": "overrides methods of TRL's trainer",
}


def modules() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not {name, name.partition("/")[0]} & {*BY_RIGHT}:
            yield name


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


@pytest.mark.parametrize("module", modules())
def test_a_function_has_at_most_five_parameters(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: parameters(f) for f in functions if len(parameters(f)) > MOST}
    assert not long, f"rftkit/{module}: put what belongs together into one value"
