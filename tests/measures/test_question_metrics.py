"""Figures of questions: groups, CV-Bench, rotations of the choices, numbers."""

import math
import random

import pytest

from rftkit.errors import DataError
from rftkit.measures.question_metrics import circular, cv_bench, grouped, measure_numbers

CV_BENCH = [("ADE20K", 1.0)] * 3 + [("ADE20K", 0.0)] + [("COCO", 1.0), ("COCO", 0.0)]
CV_BENCH += [("Omni3D", 1.0)] + [("Omni3D", 0.0)] * 9


def test_groups_have_their_own_rates() -> None:
    rates = grouped([("depth", 0.5), ("count", 1.0), ("count", 0.0), ("depth", 1.0)])
    assert list(rates) == ["count", "depth"]
    assert (rates["count"].value, rates["count"].n) == (0.5, 2)
    assert (rates["depth"].value, rates["depth"].high) == (0.75, 1)
    assert grouped([]) == {}


def test_cv_bench_weighs_its_sources() -> None:
    figures = cv_bench(random.Random(0).sample(CV_BENCH, 16))
    assert figures.official is not None
    assert figures.official.value == pytest.approx(((0.75 + 0.5) / 2 + 0.1) / 2)
    assert figures.micro.value == pytest.approx(5 / 16)
    assert {name: rate.value for name, rate in figures.by_source.items()} == pytest.approx(
        {"ADE20K": 0.75, "COCO": 0.5, "Omni3D": 0.1}
    )
    assert (figures.official.n, figures.micro.n) == (16, 16)


def test_the_interval_of_cv_bench_draws_within_the_sources() -> None:
    values = [(s, float(n < 30)) for s in ("ADE20K", "COCO", "Omni3D") for n in range(60)]
    official = cv_bench(values).official
    assert official is not None
    half = 1.96 * math.sqrt((1 / 16 + 1 / 16 + 1 / 4) * 0.25 / 60)
    assert (official.low, official.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.01)
    certain = [("ADE20K", 1.0)] * 5 + [("COCO", 0.0)] * 50 + [("Omni3D", 1.0)] * 9
    official = cv_bench(certain).official
    assert official is not None
    assert (official.value, official.low, official.high) == (0.75, 0.75, 0.75)


def test_cv_bench_needs_all_its_sources_and_no_other() -> None:
    part = cv_bench([("COCO", 1.0)])
    assert (part.official, part.micro.value, list(part.by_source)) == (None, 1, ["COCO"])
    with pytest.raises(DataError, match="source 'coco' is not one of ADE20K, COCO, Omni3D"):
        cv_bench([*CV_BENCH, ("coco", 1.0)])


def test_a_question_is_right_if_every_rotation_is() -> None:
    scores = [("a", 1.0), ("b", 1.0), ("a", 1.0), ("b", 0.0), ("c", 0.0), ("d", 1.0), ("d", 0.9)]
    rate = circular(scores)
    assert (rate.value, rate.n) == (0.25, 4)
    ten = [(str(n), float(n < 10 or turn == 0)) for n in range(20) for turn in range(4)]
    rate = circular(ten)
    assert (rate.low, rate.high) == pytest.approx((0.2993, 0.7007), abs=5e-5)
    assert circular([]).n == 0


def test_errors_of_numbers() -> None:
    figures = measure_numbers([(3, 3), (3, 4), (3, 1), (3, 9), (3, None), (0, None)])
    assert (figures.n, figures.invalid) == (6, 2)
    assert figures.mean_absolute_error == pytest.approx((0 + 1 + 2 + 6) / 4)
    assert figures.root_mean_squared_error == pytest.approx(math.sqrt((0 + 1 + 4 + 36) / 4))
    assert figures.bias == pytest.approx((0 + 1 - 2 + 6) / 4)
    assert (figures.within_one.value, figures.within_one.n) == (pytest.approx(2 / 6), 6)


@pytest.mark.parametrize("answer", [None, math.nan, math.inf, -1e15, 1e300])
def test_what_is_no_number_is_invalid(answer: float | None) -> None:
    figures = measure_numbers([(2, answer)])
    assert (figures.n, figures.invalid, figures.bias) == (1, 1, None)
    assert figures.mean_absolute_error is figures.root_mean_squared_error is None
    assert (figures.within_one.value, figures.within_one.n) == (0, 1)


def test_no_numbers_have_no_errors() -> None:
    figures = measure_numbers([])
    assert (figures.n, figures.bias, figures.within_one.n) == (0, None, 0)
