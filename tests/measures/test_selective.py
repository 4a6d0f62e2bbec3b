"""Which answers are kept at an error budget, and how far that can be believed."""

from __future__ import annotations

import pytest

from rftkit.measures.selective import Confident, Kept, coverage_interval, keep_at_error
from rftkit.measures.statistics import highest_rate

HAND_MADE = [Confident(c, r) for c, r in (
    (0.99, True), (0.95, True), (0.9, False), (0.8, True), (0.7, True), (0.6, False),
)]  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (0.0, Kept(0.95, 2, 0, 6)),
        (0.1, Kept(0.95, 2, 0, 6)),
        (0.2, Kept(0.7, 5, 1, 6)),  # 1 of 5, though 1 of 3 and 1 of 4 were too many
        (0.34, Kept(0.6, 6, 2, 6)),
    ],
)
def test_the_most_answers_within_the_budget_are_kept(budget: float, kept: Kept) -> None:
    assert keep_at_error(HAND_MADE, budget) == kept


def test_a_wrong_answer_at_the_top_leaves_nothing() -> None:
    kept = keep_at_error([Confident(0.9, False), Confident(0.8, True)], 0.1)
    assert (kept.threshold, kept.coverage, kept.error_at_most) == (None, 0.0, 1.0)
    assert keep_at_error([], 0.1) == Kept(None, 0, 0, 0)


def test_equal_confidences_stay_together() -> None:
    answers = [Confident(0.9, True), Confident(0.8, True), Confident(0.8, False)]
    assert keep_at_error(answers, 0.1) == Kept(0.9, 1, 0, 3)


def test_a_twentieth_of_twenty_is_one() -> None:
    answers = [Confident(0.9, number > 0) for number in range(20)]
    assert keep_at_error(answers, 0.05).kept == 20
    answers = [Confident(0.9, number >= 29) for number in range(100)]
    assert keep_at_error(answers, 0.29).kept == 100  # though 0.29 * 100 is less than 29


def test_the_highest_rate_is_one_sided() -> None:
    assert highest_rate(0, 25) == pytest.approx(1 - 0.05 ** (1 / 25))
    assert highest_rate(1, 20) == pytest.approx(0.2161, abs=5e-5)
    assert (highest_rate(3, 3), highest_rate(0, 0)) == (1.0, 1.0)


def test_the_coverage_has_a_seeded_interval_that_images_share() -> None:
    answers = [Confident(0.5 + n / 200, n % 10 > 0) for n in range(100)]
    value = keep_at_error(answers, 0.1).coverage
    interval = coverage_interval(answers, 0.1, seed=0)
    assert interval == coverage_interval(answers, 0.1, seed=0)
    assert 0 <= interval.low < value <= interval.high <= 1
    right = [Confident(0.9, True)] * 10
    assert coverage_interval(right, 0.1, 0) == (1.0, 1.0)
    one_wrong = [Confident(0.6, right=False), *right[:9]]
    assert coverage_interval(one_wrong, 0.1, 0, ["a"] + ["b"] * 9) == (0.0, 1.0)  # whole images
