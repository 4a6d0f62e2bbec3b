"""The mathematics of the baselines, on features whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from rftkit.evaluation.probes import (
    STRENGTHS,
    ProbeData,
    linear_probe,
    most_frequent,
    nearest_mean,
)

CLASSES = ("cat", "cow", "dog")


def separable(shots: int, seed: int = 0, noise: float = 0.3) -> tuple[ProbeData, list[str]]:
    """Features around one corner for each class, with a large part that all share; the gold."""
    rng = np.random.default_rng(seed)
    corners = 50 + np.eye(3, dtype=np.float32) * 4

    def drawn(count: int) -> tuple[np.ndarray, list[str]]:
        labels = [name for name in CLASSES for _ in range(count)]
        at = corners[[CLASSES.index(name) for name in labels]]
        return (at + rng.normal(0, noise, at.shape)).astype(np.float32), labels

    features, answers = drawn(shots)
    tests, gold = drawn(20)
    return ProbeData(features, answers, tests, [CLASSES] * len(gold)), gold


def test_the_most_frequent_answer_is_the_one_of_most_shots() -> None:
    fitted = most_frequent(["cat", "dog", "dog"], [CLASSES, CLASSES])
    assert fitted.answers == ["dog", "dog"]
    assert fitted.how == "'dog', 2 of 3 shots"


def test_of_equally_frequent_answers_the_first_offered_is_taken() -> None:
    offered = [("dog", "cow", "cat"), ("cow", "cat", "dog")]
    fitted = most_frequent(["cat", "dog", "cow", "dog", "cat"], offered)
    assert fitted.answers == ["dog", "cat"]
    assert fitted.how == "2 answers have 2 of 5 shots each; the first offered is taken"


def test_the_most_frequent_answer_is_one_that_is_offered() -> None:
    fitted = most_frequent(["cat", "cat", "dog"], [("cow", "dog"), ("cow", "emu")])
    assert fitted.answers == ["dog", "cow"]


def test_a_probe_on_separable_features_is_right() -> None:
    data, gold = separable(4, noise=0.05)
    assert linear_probe(data, 0).answers == gold


@pytest.mark.parametrize("shots", [1, 4])
def test_class_means_of_separable_features_are_right(shots: int) -> None:
    data, gold = separable(shots, noise=0.05)
    assert nearest_mean(data).answers == gold


def test_a_probe_of_two_classes_answers_both() -> None:
    data, gold = separable(4, noise=0.05)
    two = [place for place, name in enumerate(data.answers) if name != "cow"]
    pair = ProbeData(data.shots[two], [data.answers[n] for n in two], data.tests, data.offered)
    answers = linear_probe(pair, 0).answers
    assert [a for a, g in zip(answers, gold, strict=True) if g != "cow"] == ["cat"] * 20 + (
        ["dog"] * 20
    )


def test_a_probe_takes_the_best_of_what_is_offered() -> None:
    data, gold = separable(4, noise=0.05)
    others = [tuple(name for name in CLASSES if name != one) for one in gold]
    limited = ProbeData(data.shots, data.answers, data.tests, [*others[:-1], ("emu",)])
    for fitted in (linear_probe(limited, 0), nearest_mean(limited)):
        assert all(a in row for a, row in zip(fitted.answers[:-1], others[:-1], strict=True))
        assert fitted.answers[-1] is None


def test_the_nearest_mean_is_that_of_a_search_by_hand() -> None:
    data, _ = separable(5, seed=3, noise=4.0)
    data.shots[-5:] += 12 * np.sign(data.shots[-5:] - 51)  # of wide classes means are short
    centre = data.shots.astype(np.float64).mean(0)
    units = [(row - centre) / np.linalg.norm(row - centre) for row in data.shots]
    means = {
        name: sum(u for u, a in zip(units, data.answers, strict=True) if a == name) / 5
        for name in CLASSES
    }
    by_hand = []
    for row in data.tests:
        unit = (row - centre) / np.linalg.norm(row - centre)
        by_hand.append(min(CLASSES, key=lambda name: np.linalg.norm(unit - means[name])))
    assert nearest_mean(data).answers == by_hand
    assert len({*by_hand}) == 3


def test_the_strength_is_chosen_on_the_shots_alone() -> None:
    data, _ = separable(6, seed=1, noise=3.0)
    rng = np.random.default_rng(9)
    other = ProbeData(
        data.shots, data.answers, rng.normal(size=(4, 3)).astype(np.float32), [CLASSES] * 4
    )
    first, second = linear_probe(data, 0), linear_probe(other, 0)
    assert first.how == second.how
    strength = first.how.removeprefix("C = ").partition(",")[0]
    assert float(strength) in STRENGTHS
    assert first.how.endswith("by 5-fold cross-validation on the shots")


def test_one_shot_leaves_nothing_to_choose_the_strength_by() -> None:
    data, _ = separable(1)
    how = linear_probe(data, 0).how
    assert how == "C = 1, as a class has one shot and none can be held out"


def test_what_cannot_be_fitted_says_why() -> None:
    data, _ = separable(2)
    assert data.problem() == ""
    one = ProbeData(data.shots[:2], ["cat", "cat"], data.tests, data.offered)
    assert one.problem() == "the shots are all of one class"
    data.tests[3, 1] = np.inf
    assert data.problem() == "the features are not finite"
