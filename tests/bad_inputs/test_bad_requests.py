"""A request that is refused gets its status and one line, in the shape of OpenAI's errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import bad_answers
import bad_requests
from serve_fakes import Running, running

ROWS = {row.name: row for row in bad_requests.ROWS}
EXPECTED = bad_answers.expected("serve")


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(bad_requests.LIMITS) as service:
        yield service


@pytest.mark.parametrize("name", ROWS)
def test_it_is_refused_in_one_line(served: Running, name: str) -> None:
    row = ROWS[name]
    told = bad_answers.told_by_service(served.url, row)
    assert told.status_code == row.status, told.text
    error = told.json()["error"]
    assert error["message"] == EXPECTED[name]
    assert error["message"].isprintable()
    assert {*error} == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


def test_nothing_of_it_reached_the_model(served: Running) -> None:
    assert served.engine.batches == []


def test_each_request_has_its_line() -> None:
    assert [*EXPECTED] == [*ROWS]
    assert len(ROWS) == len(bad_requests.ROWS), "two requests have one name"
    assert all(len(line) <= 1000 for line in EXPECTED.values())
