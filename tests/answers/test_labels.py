"""Class names: which spellings are one label, and which answers name it."""

from __future__ import annotations

import pytest
from effort import assert_effort
from hypothesis import given
from hypothesis import strategies as st

from rftkit.answers import labels

FLOWERS = ("primrose", "rose", "rose hip", "sweet pea")
PLANES = ("737", "737-300", "737-300ER", "DC-10", "MD-10")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("rose", "rose"),
        (" “Rose”. ", "rose"),
        ("sweet_pea", "sweet pea"),
        ("SWEET-PEA", "sweet pea"),
        ("\uff32\uff2f\uff33\uff25", "rose"),  # full-width letters
        ("rosehip", None),
        ("rose, primrose", None),
        ("a rose", None),
        ("primros", None),
        ("", None),
        ("...", None),
    ],
)
def test_an_answer_names_a_listed_label_or_none(answer: str, label: str | None) -> None:
    assert labels.match_label(answer, FLOWERS) == label


def test_an_alias_names_its_label() -> None:
    aliases = {"pea (sweet)": "sweet pea", "daisy": "daisy"}
    assert labels.match_label("Pea (sweet)", FLOWERS, aliases) == "sweet pea"
    assert labels.match_label("daisy", FLOWERS, aliases) is None  # the alias leads off the list


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("737-300", "737-300"),
        ("Boeing 737-300 passenger jet", "737-300"),
        ("This is a DC-10.", "DC-10"),
        ("Boeing 737-300ER", "737-300ER"),
        ("Boeing 737-400", None),
        ("737-300 DC-10", None),
        ("Boeing 737-300 or A320", None),
        ("Boeing 737-300, A320", None),
        ("not a 737-300", None),
        ("<think> 737-300 </think>", None),
        ("A300 A310 A319 A320 A321 A330 A340 A350 737-300", None),
        ("", None),
    ],
)
def test_an_open_answer_may_be_a_short_phrase(answer: str, label: str | None) -> None:
    assert labels.match_open_answer(answer, PLANES) == label


def test_a_label_may_hold_what_would_hedge_an_answer() -> None:
    known = ("black and white", "salt, pepper")
    assert labels.match_open_answer("a black and white photo", known) == "black and white"
    assert labels.match_open_answer("a salt, pepper shaker", known) == "salt, pepper"


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ("rose or primrose", True),
        ("rose, rose", False),
        ("rose hip", False),
        ("a primrose", False),
        ("rose hip and rose", True),
        ("", False),
    ],
)
def test_a_hedged_reply_names_several(answer: str, more: bool) -> None:
    assert labels.names_several(answer, FLOWERS) is more


def test_labels_that_no_answer_could_tell_apart_are_found() -> None:
    assert labels.colliding_labels(["DC-10", "dc 10", "MD-10", "DC-10"]) == [("DC-10", "dc 10")]


@given(st.text(max_size=50))
def test_normalising_twice_changes_nothing_that_is_printable_ascii(text: str) -> None:
    once = labels.normalise(text)
    assert once == once.strip()
    if text.isascii():
        assert labels.normalise(once) == once


@given(st.lists(st.sampled_from(["rose", "hip", "or", ",", "737-300", "a", "\u0300"]), max_size=9))
def test_no_answer_names_a_label_whose_words_it_lacks(words: list[str]) -> None:
    answer = " ".join(words)
    named = labels.match_open_answer(answer, ("rose", "rose hip", "737-300"))
    assert named is None or named in answer.replace("_", " ")


@pytest.mark.parametrize("unit", ["\u0300\u0316", "\ufdfa", "2012 ", "_", "2012 model 7, "])
def test_a_long_answer_meets_a_thousand_labels_in_linear_time(unit: str) -> None:
    text = (unit * 65536)[:65536]
    known = tuple(f"2012 model {i}" for i in range(1000))
    labels.names_several("warm", known)
    labels.match_label("warm", known)
    assert_effort(35, labels.match_open_answer, text, known)
    assert_effort(35, labels.names_several, text, known)


def test_a_long_run_of_combining_marks_is_normalised_in_linear_time() -> None:
    assert_effort(350, labels.normalise, "a" + "\u0300\u0316" * 32768)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["cat", "dog"], "cat, dog"),
        (["a; b", "c"], "a; b, c"),
        (["a, b", "c"], "a, b; c"),
        (["a, b", "c; d"], "a, b\nc; d"),
        (["a, b; c", "d"], "a, b; c\nd"),
    ],
)
def test_listed_names_can_be_told_apart(names: list[str], text: str) -> None:
    assert labels.join_labels(names) == text
