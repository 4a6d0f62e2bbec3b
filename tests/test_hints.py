"""What a wrong name was likely to mean: near ones are offered, others are listed."""

from __future__ import annotations

import pytest

from rftkit.hints import did_you_mean


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        *[("lable", "label"), ("img", "image"), ("images", "image"), ("vall", "val")],
        *[("grup", "group"), ("file", "file_name"), ("anotations", "annotations")],
    ],
)
def test_a_typo_is_recognised(wrong: str, meant: str) -> None:
    known = ["id", "categories", "split", meant]
    assert did_you_mean(wrong, known) == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("wrong", "known"),
    [
        ("width", ["id", "file_name", "height_px"]),
        ("images", ["categories", "annotations"]),
        ("bbox", ["id", "box_count"]),
    ],
)
def test_another_name_is_not_taken_for_a_typo(wrong: str, known: list[str]) -> None:
    assert did_you_mean(wrong, known) == f"there are: {', '.join(known)}"
