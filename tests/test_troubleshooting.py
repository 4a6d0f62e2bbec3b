"""The page of troubleshooting is keyed by lines that rftkit really prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
QUOTES = re.findall(r"^> (.+)$", PAGE, re.MULTILINE)
# titles that begin with a small letter are lines, or the beginning of one; the others are subjects
TITLES = re.findall(r"^## ([a-z].+|No valid .+|The test set .+)$", PAGE, re.MULTILINE)
VALUE = "\0"  # stands for what is filled in
FILLED = "training|data|test|accuracy|either model|shared prefixes are|without a thought"
LEAST = 12  # letters of a piece that tells a line from others


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts in a module, with VALUE for what an f-string fills in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
            )


@cache
def printed() -> str:
    files = sorted((ROOT / "rftkit").rglob("*.py"))
    return "\n".join(text for file in files for text in texts(ast.parse(file.read_text("utf-8"))))


def pieces(line: str) -> list[str]:
    """What of a line stands in the source: between numbers and dots, without what is filled in."""
    parts = re.split(rf"…|[:;]|\b\d[\d.,]*\b|\b(?:{FILLED})\b", line)
    return [part.strip(" .();:=") for part in parts if len(part.strip(" .();:=")) >= LEAST]


@pytest.mark.parametrize("line", [*QUOTES, *TITLES])
def test_the_line_is_printed(line: str) -> None:
    found = pieces(line)
    assert found, f"nothing of {line!r} can be looked up"
    for piece in found:
        assert piece in printed(), f"docs/troubleshooting.md: {piece!r} is printed nowhere"


def test_there_are_lines() -> None:
    assert len(QUOTES) >= 5
    assert len(TITLES) >= 10
