"""Text of users, data and models is printed as it is: rich never reads it as markup."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from rftkit.errors import ModelError
from rftkit.runs.run import RunFolder
from rftkit.training.request import TrainRequest
from rftkit.training.run import train

ROOT = Path(__file__).parents[1] / "rftkit"
RENDERABLES = {
    "Text",
    "Table",
    "assemble",
    "_table",
    "safe_text",
}  # calls that return no plain text
RECIPE = """
model = { name = "tiny" }
data = { source = "digits", shots = 1 }
"""


def test_a_folder_whose_name_looks_like_markup_is_named_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise ModelError("no model here")

    monkeypatch.setattr("rftkit.training.run.open_for_training", stop)
    (tmp_path / "mine.toml").write_text(RECIPE)
    request = TrainRequest(recipe=tmp_path / "mine.toml", out=tmp_path / "[b][/x]")
    console = Console(file=io.StringIO(), width=1000)
    request.out.mkdir(parents=True)
    RunFolder(request.out).set_status("finished")
    with pytest.raises(ModelError, match="no model here"):
        train(request, console)
    assert isinstance(console.file, io.StringIO)
    line = f"{request.out} holds a run already; this one goes to {request.out}-2"
    assert line in console.file.getvalue().splitlines()


def test_plain_text_goes_to_the_console_without_markup() -> None:
    """A console's print takes a renderable, or has markup=False."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted(ROOT.rglob("*.py"))
        for call in _with_markup(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def _with_markup(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls of a method `print` that read markup in a text."""
    renderables = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_renderable(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        texts = [
            argument
            for argument in node.args
            if not _is_renderable(argument)
            and not (isinstance(argument, ast.Name) and argument.id in renderables)
        ]
        if node.func.attr == "print" and texts and not _without_markup(node):
            yield node


def _is_renderable(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in RENDERABLES


def _without_markup(call: ast.Call) -> bool:
    return any(
        keyword.arg == "markup"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is False
        for keyword in call.keywords
    )
