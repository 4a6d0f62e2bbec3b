"""Accuracy by free replies beside accuracy by the list, and the words for what lies between."""

from __future__ import annotations

import math

import pytest

from rftkit.metrics.lists.decodings import decodings
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.schema import Decodings
from rftkit.metrics.scoring import derive

HEADER = Header(
    task="classification", style="direct", labels=("ash", "oak"), expected=1, list_scores=True
)


def sample(number: int, text: str, ash: float = -0.1, oak: float = -4.0) -> Sample:
    made = Sample(
        side="tuned", id=f"{number}", image=f"{number}.png", text=text, gold="ash",
        scores={"ash": ash, "oak": oak},
    )  # fmt: skip
    return derive(made, HEADER)


def measured(samples: list[Sample], header: Header = HEADER) -> Decodings:
    found = decodings(samples, header)
    assert found
    return found


def test_both_answers_of_a_sample_are_judged() -> None:
    found = sample(0, "ashtray", ash=-3.0, oak=-0.2)
    assert (found.free_correct, found.list_answer, found.list_correct) == (0.0, "oak", 0.0)
    found = sample(0, "ash", ash=-3.0, oak=-0.2)
    assert (found.free_correct, found.list_correct, found.correct) == (1.0, 0.0, 1.0)


def test_a_model_that_knows_more_than_it_writes_is_said_to() -> None:
    found = measured([*(sample(n, "ash") for n in range(20)),
                      *(sample(n, "ashtray") for n in range(20, 32)),
                      *(sample(n, "oak") for n in range(32, 40))])  # fmt: skip
    assert (found.free.value, found.listed.value, found.gap) == (0.5, 1.0, 0.5)
    assert found.low > 0
    assert (found.only_listed, found.unlisted, found.only_free) == (20, 12, 0)
    assert found.words.startswith("the model knows more than it writes: 100.0 % by the list, 50.0")
    assert "of 20 replies that only the list gets right, 12 are not on the list" in found.words
    assert found.off_list == pytest.approx(1 - math.exp(-0.1) - math.exp(-4.0))


def test_a_list_that_is_right_by_chance_is_not_said_to_know() -> None:
    found = measured(
        [sample(n, "ashtray", ash=-0.2 if n % 2 else -3.0, oak=-1.0) for n in range(40)]
    )
    assert (found.free.value, found.listed.value) == (0.0, 0.5)
    assert found.low > 0
    assert found.words.startswith("by the list it only guesses (50.0 % by chance): 50.0 % by the")


def test_replies_that_beat_the_list_and_ties_are_said_too() -> None:
    worse = [sample(n, "ash", ash=-4.0, oak=-0.1) for n in range(30)]
    assert measured(worse).words.startswith("what it writes is right more often")
    alike = [sample(n, "ash") for n in range(30)]
    assert measured(alike).words.startswith("both ways of answering are right alike: 100.0 %")


def test_where_a_reply_or_a_score_is_missing_nothing_is_compared() -> None:
    bare = Sample(side="tuned", id="x", image="x.png", text="ash", gold="ash")
    assert decodings([sample(0, "ash"), derive(bare, HEADER)], HEADER) is None
    old = HEADER.model_copy(update={"decode": "choices", "list_scores": False})
    assert decodings([derive(sample(0, "ash"), old)], old) is None


def test_new_classes_are_measured_by_the_list_as_well() -> None:
    halved = [
        derive(sample(n, "ash" if n % 2 else "ashtray").model_copy(
            update={"half": "base" if n % 2 else "new"}), HEADER)
        for n in range(20)
    ]  # fmt: skip
    found = measured(halved)
    assert found.free_halves
    assert found.list_halves
    assert (found.free_halves.base.value, found.free_halves.new.value) == (1.0, 0.0)
    assert (found.list_halves.new.value, found.list_halves.harmonic.value) == (1.0, 1.0)
