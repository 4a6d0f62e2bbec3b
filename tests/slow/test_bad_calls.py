"""A call of the app that is refused ends in one line, and no model is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bad_inputs"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import bad_answers
import bad_calls

pytestmark = pytest.mark.slow
ROWS = {row.name: row for row in bad_calls.ROWS}
EXPECTED = bad_answers.expected("app")


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with bad_calls.opened() as url:
        yield url


@pytest.mark.parametrize("name", ROWS)
def test_it_is_refused_in_one_line(app: str, name: str) -> None:
    said = bad_calls.told_by_app(app, ROWS[name])
    assert said == EXPECTED[name]
    assert said.isprintable()


def test_each_call_has_its_line() -> None:
    assert [*EXPECTED] == [*ROWS]
    assert len(ROWS) == len(bad_calls.ROWS), "two calls have one name"
    assert not any("complete" in line or "root:" in line for line in EXPECTED.values())
