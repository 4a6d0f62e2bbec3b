"""Bad input ends in one line, with its exit code, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import bad_rows
import bad_tables

EXPECTED = bad_rows.expected()


@pytest.mark.parametrize("name", bad_tables.ROWS)
def test_it_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = bad_tables.ROWS[name]
    ended = bad_rows.run(row, tmp_path)
    assert ended.code == row.code
    assert ended.changed == []
    assert "Traceback" not in ended.err
    assert ended.line(tmp_path) == EXPECTED[name]
    if row.code != 2:  # which Typer writes, in a box
        *before, last, end = ended.err.split("\n")
        assert (last[:8], end) == ("rftkit: ", "")
        assert all(line.startswith(("note: ", "prompts are not shared: ")) for line in before)


def test_each_row_has_its_line() -> None:
    held = sum(len(module.ROWS) for module in bad_tables.MODULES.values())
    assert [*EXPECTED] == [*bad_tables.ROWS]
    assert all(len(line) < 1050 for line in EXPECTED.values())
    assert len(bad_tables.ROWS) == held, "two rows have one name"
