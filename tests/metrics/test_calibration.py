"""Temperatures, calibration error and Brier score, beside what a few lines work out."""

from __future__ import annotations

import json
import math
import random
from statistics import fmean

import numpy as np
import pytest

from rftkit.metrics.lists.calibration import (
    LabelScores,
    calibration,
    fit_temperature,
    probabilities,
    reliability,
)
from rftkit.metrics.samples import Sample
from rftkit.metrics.schema import Calibration

LABELS = "abcde"


def drawn(n: int, temperature: float, seed: int = 0) -> list[LabelScores]:
    """Answers whose gold label is drawn at this temperature of their scores."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(n):
        scores = dict(zip(LABELS, rng.normal(0, 3, len(LABELS)).tolist(), strict=True))
        chances = [*probabilities(scores, temperature).values()]
        made.append(LabelScores(scores, str(rng.choice([*LABELS], p=chances))))
    return made


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_drawn_labels_is_found(temperature: float) -> None:
    assert fit_temperature(drawn(4000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_has_the_least_loss_with_one_mistake_more() -> None:
    answers = drawn(40, 1.5)

    def loss(temperature: float) -> float:
        total = 0.0
        for one in answers:
            chances = probabilities(one.scores, temperature)
            other = max(chance for label, chance in chances.items() if label != one.gold)
            total -= math.log(chances[one.gold]) + math.log(other) / len(answers)
        return total

    found = fit_temperature(answers)
    assert loss(found) < min(loss(found * 0.98), loss(found * 1.02))


@pytest.mark.parametrize(("n", "gap"), [(4, 5.0), (25, 5.0), (25, 0.3), (200, 2.0)])
def test_answers_that_are_all_right_are_not_certain(n: int, gap: float) -> None:
    answers = [LabelScores({"a": 0.0, "b": -gap}, "a")] * n
    found = fit_temperature(answers)
    assert 1 / 20 <= found <= 20
    assert max(probabilities(answers[0].scores, found).values()) == pytest.approx(
        n / (n + 1), abs=0.01
    )


def test_answers_that_are_all_wrong_end_flat_at_the_bound() -> None:
    found = fit_temperature([LabelScores({"a": 0.0, "b": -3.0}, "b")] * 9)
    assert found == pytest.approx(20.0)


def test_what_tells_nothing_leaves_the_scores_as_they_are() -> None:
    assert fit_temperature([]) == 1.0
    assert fit_temperature([LabelScores({"a": 0.0, "b": -3.0}, "not there")]) == 1.0
    assert fit_temperature([LabelScores({"a": 0.0}, "a")]) == 1.0


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_ece_and_brier_are_what_a_few_lines_say(temperature: float) -> None:
    answers = drawn(300, 2.0, seed=1)
    found = reliability(answers, temperature)
    rows = []
    for one in answers:
        raised = {label: math.exp(score / temperature) for label, score in one.scores.items()}
        chances = {label: value / sum(raised.values()) for label, value in raised.items()}
        top = max(chances, key=lambda label: chances[label])
        square = sum((chances[label] - float(label == one.gold)) ** 2 for label in LABELS)
        rows.append((chances[top], float(top == one.gold), square))
    ece = 0.0
    for number in range(10):
        own = [row for row in rows if number / 10 <= row[0] < (number + 1) / 10]
        ece += abs(sum(right - top for top, right, _ in own)) / len(rows)
        assert found.bins[number].n == len(own)
        if own:
            assert found.bins[number].confidence == pytest.approx(fmean(top for top, _, _ in own))
            assert found.bins[number].accuracy is not None
            assert found.bins[number].accuracy.value == pytest.approx(fmean(r for _, r, _ in own))
    assert found.ece.value == pytest.approx(ece)
    assert found.ece.low <= ece <= found.ece.high
    assert found.brier == pytest.approx(fmean(square for *_, square in rows))
    assert [one.budget for one in found.coverage] == [0.05, 0.1]


def test_certainty_is_in_the_last_bin() -> None:
    found = reliability([LabelScores({"a": 0.0, "b": -900.0}, "a")])
    assert [one.n for one in found.bins] == [0] * 9 + [1]
    assert (found.ece.value, found.brier) == (0.0, 0.0)


def test_gold_off_the_list_is_wrong_and_costs_its_whole_square() -> None:
    found = reliability([LabelScores({"a": 0.0, "b": 0.0}, "7")])
    assert found.brier == pytest.approx(1.5)
    assert found.bins[5].accuracy is not None
    assert found.bins[5].accuracy.value == 0.0


def sample(scores: dict[str, float], gold: str, correct: float = 0.0) -> Sample:
    return Sample(side="base", id=str(random.random()), image="x", text="", gold=gold,
                  scores=scores, correct=correct)  # fmt: skip


def test_right_is_the_answer_by_list_and_not_the_free_reply() -> None:
    samples = [sample({"a": -0.1, "b": -3.0}, "a", correct=0.0)] * 3
    found = calibration(samples, 2.0)
    assert found is not None
    assert found.accuracy is not None
    assert (found.accuracy.value, found.temperature) == (1.0, 2.0)
    assert found.before is not None
    assert found.after is not None
    top = probabilities(samples[0].scores or {})["a"]
    assert found.ece == found.before.ece.value == pytest.approx(1 - top)
    assert found.after.ece.value > found.ece
    assert found.note == "Only 3 answers: read the intervals, not the values."


def test_samples_without_scores_are_not_calibrated() -> None:
    bare = sample({}, "a").model_copy(update={"scores": None})
    assert calibration([bare], 2.0) is None
    scored = calibration([bare, sample({"a": 0.0, "b": -1.0}, "a")])
    assert scored is not None
    assert (scored.before.ece.n if scored.before else 0, scored.after) == (1, None)


def test_summaries_of_before_are_read() -> None:
    old = Calibration.model_validate_json(json.dumps({"ece": 0.1, "mean_gold": 0.5}))
    assert (old.ece, old.before, old.temperature) == (0.1, None, None)
