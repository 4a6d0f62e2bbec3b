"""The file beside an adapter that holds its temperatures and what was held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fakes
import pytest

from rftkit.errors import ModelError
from rftkit.measures.selective import Confident
from rftkit.runs.calibration import (
    CALIBRATION,
    HeldOutAnswers,
    Temperatures,
    read_calibration,
    rounded,
    temperatures_for,
    write_calibration,
)

ANSWERS = (Confident(0.987654321, True), Confident(0.6, False), Confident(0.7, True))
FOUND = HeldOutAnswers(Temperatures(2.5, 0.75), "fold", ANSWERS)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    found = read_calibration(tmp_path)
    assert found is not None
    assert (found.temperatures, found.origin) == (FOUND.temperatures, "fold")
    assert found.answers[0] == Confident(rounded(0.987654321), True) == (0.987654, True)
    assert found.words == "calibrated on 3 held-out images"
    kept = found.kept_at_error(0.05)
    assert (kept.threshold, kept.kept, kept.wrong) == (0.7, 2, 0)
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION]


def test_an_adapter_of_before_has_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None
    write_calibration(tmp_path, FOUND)
    write_calibration(tmp_path, None)  # a later session of the run fitted none
    assert read_calibration(tmp_path) is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "written by a newer rftkit; upgrade rftkit"),
        ({"temperatures": {"base": 1.0}}, "damaged"),
        ({"temperatures": {"base": 1.0, "tuned": 0.0}}, "damaged"),
        ({"temperatures": {"base": 1.0, "tuned": "warm"}}, "damaged"),
        ({"temperatures": None}, "damaged"),
        ({"held_out": []}, "damaged"),
        ({"held_out": [{"confidence": 1.5, "right": True}]}, "damaged"),
        ({"held_out": [{"confidence": float("nan"), "right": True}]}, "damaged"),
        ({"held_out": [{"right": True}]}, "damaged"),
        ({"origin": "test"}, "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    write_calibration(tmp_path, FOUND)
    path = tmp_path / CALIBRATION
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=said) as refused:
        read_calibration(tmp_path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_a_torn_file_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / CALIBRATION).write_text(text)
    with pytest.raises(ModelError, match=r"damaged .*; delete it to go on without, or train again"):
        read_calibration(tmp_path)


def test_a_temperature_is_of_one_way_to_score(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    both = {"base": 2.5, "tuned": 0.75}
    think = fakes.recipe()
    assert temperatures_for(tmp_path, think, "think") == both
    assert temperatures_for(tmp_path, think, "empty-think") == {}
    assert temperatures_for(tmp_path, think, "direct") == {}
    assert temperatures_for(tmp_path / "none", think, "think") == {}
