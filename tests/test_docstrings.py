"""The examples in docstrings hold. Modules without any are not loaded: that takes seconds."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import rftkit

PACKAGE = Path(rftkit.__file__).parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_hold(name: str) -> None:
    tried = doctest.testmod(import_module(name))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_there_are_examples() -> None:
    assert len(WITH_EXAMPLES) >= 10
