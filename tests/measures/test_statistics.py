import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, permutation_test

from rftkit.measures import statistics


@pytest.mark.parametrize(
    ("k", "n", "wilson"),
    [
        (0, 20, (0.0000, 0.1611)),
        (1, 20, (0.0089, 0.2361)),
        (10, 20, (0.2993, 0.7007)),
        (99, 150, (0.5810, 0.7310)),
        (1980, 3333, (0.5773, 0.6106)),
    ],
)
def test_intervals_of_a_share(k: int, n: int, wilson: tuple[float, float]) -> None:
    assert statistics.wilson(k, n) == pytest.approx(wilson, abs=5e-5)


def test_nothing_measured_says_nothing() -> None:
    assert statistics.wilson(0, 0) == (0, 1)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case: tuple[int, int]) -> None:
    found = binomtest(*case).proportion_ci(0.95, method="wilson")
    assert statistics.wilson(*case) == pytest.approx((found.low, found.high), abs=1e-12)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_highest_rate_is_a_quantile_of_the_beta_distribution(case: tuple[int, int]) -> None:
    k, n = case
    high = binomtest(k, n).proportion_ci(0.90, method="exact").high  # of two sides, 5 % on each
    assert statistics.highest_rate(k, n) == pytest.approx(high, abs=1e-9)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_scipys_test_of_a_fair_coin(lost: int, won: int) -> None:
    if not lost + won:
        return
    test = binomtest(lost, lost + won)
    found = statistics.mcnemar(lost, won)
    assert found.exact == pytest.approx(test.pvalue, abs=1e-9)
    assert found.exact / 2 - 1e-9 <= found.mid <= found.exact


@pytest.mark.parametrize(
    ("lost", "won", "exact", "mid"),
    [
        (5, 5, 1, 1),
        (0, 6, 0.031250, 0.015625),
        (3, 12, 0.035156, 0.021271),
        (120, 180, 0.000634, 0.000522),
        (0, 0, 1, 1),
    ],
)
def test_mcnemar(lost: int, won: int, exact: float, mid: float) -> None:
    assert statistics.mcnemar(lost, won) == pytest.approx((exact, mid), abs=5e-7)
    assert statistics.mcnemar(won, lost) == statistics.mcnemar(lost, won)


@pytest.mark.parametrize(
    ("lost", "won", "n", "difference", "interval"),
    [
        (120, 180, 2638, 0.0227, (0.0099, 0.0356)),
        (10, 25, 150, 0.1000, (0.0244, 0.1756)),
    ],
)
def test_paired_wald(
    lost: int, won: int, n: int, difference: float, interval: tuple[float, float]
) -> None:
    found = statistics.paired_interval(lost, won, n)
    assert found.method == "paired Wald"
    assert found.difference == pytest.approx(difference, abs=5e-5)
    assert found.interval == pytest.approx(interval, abs=5e-5)


def test_few_discordant_pairs_do_not_make_a_finding() -> None:
    plain = statistics.paired_wald(0, 4, 20)
    assert plain.interval.low > 0  # although McNemar's exact p is 0.125
    adjusted = statistics.paired_interval(0, 4, 20)
    assert adjusted.method == "paired Wald, Bonett-Price"
    assert adjusted.difference == 0.2
    assert adjusted.interval == pytest.approx((-0.022752, 0.386389), abs=1e-6)


def test_agreement_everywhere_still_leaves_a_width() -> None:
    low, high = statistics.paired_interval(0, 0, 50).interval
    assert (low, high) == pytest.approx((-0.053304, 0.053304), abs=1e-6)


@given(st.integers(0, 24), st.integers(0, 24), st.sampled_from([60, 200, 3000]))
def test_an_interval_off_zero_agrees_with_mcnemar(lost: int, won: int, n: int) -> None:
    low, high = statistics.paired_interval(lost, won, n).interval
    if low > 0 or high < 0:
        assert statistics.mcnemar(lost, won).mid < 0.06


def test_the_bootstrap_is_seeded_and_near_wald() -> None:
    base = [1.0] * 60 + [0.0] * 90
    tuned = [0.0] * 10 + [1.0] * 75 + [0.0] * 65
    once = statistics.paired_bootstrap(base, tuned, seed=3)
    assert once == statistics.paired_bootstrap(base, tuned, seed=3)
    assert once.interval != statistics.paired_bootstrap(base, tuned, seed=4).interval
    assert once.difference == pytest.approx(0.1)
    assert once.interval == pytest.approx((0.0244, 0.1756), abs=0.01)


def test_questions_about_one_image_count_as_one_draw() -> None:
    base, tuned = [0.0] * 40, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] * 5
    names = [f"{location // 4}" for location in range(40)]
    alone = statistics.paired_bootstrap(base, tuned, 0).interval
    by_image = statistics.paired_bootstrap(base, tuned, 0, clusters=names)
    assert by_image.difference == 0.5
    assert by_image.method == "paired bootstrap by image"
    width = by_image.interval.high - by_image.interval.low
    assert width == pytest.approx(2 * (alone.high - alone.low), rel=0.15)  # √4 wider


def test_holm_steps_down() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferronis(p_values: list[float]) -> None:
    """A hypothesis falls with all the sets it is in, each by the smallest p times its size."""
    indices = range(len(p_values))
    closed = [
        max(
            min(1.0, size * min(p_values[i] for i in some))
            for size in range(1, len(p_values) + 1)
            for some in combinations(indices, size)
            if one in some
        )
        for one in indices
    ]
    assert statistics.holm(p_values) == pytest.approx(closed)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.25, 1.0]), min_size=3, max_size=9))
def test_sign_flips_come_near_scipys_test_of_all_signs(gaps: list[float]) -> None:
    every = permutation_test(
        (gaps,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert statistics.sign_flips(gaps, seed=0) == pytest.approx(min(1.0, every.pvalue), abs=0.025)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=60), st.integers(0, 99))
def test_the_bootstrap_comes_near_scipys(values: list[float], seed: int) -> None:
    theirs = bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    near = 0.25 * float(np.std(values)) / math.sqrt(len(values)) + 1e-9
    assert statistics.bootstrap_mean(values, seed) == pytest.approx(tuple(theirs), abs=near)


def test_smallest_visible_difference() -> None:
    gaps = [1.0, -1.0] * 50 + [0.0] * 300  # 0 or 1: root of the share that differs over pairs
    assert statistics.minimum_detectable_effect(gaps) == pytest.approx(2.80 * 0.5 / 20)
    by_degrees = [0.1, -0.1] * 200  # as loud as a tenth of that
    assert statistics.minimum_detectable_effect(by_degrees) == pytest.approx(2.80 * 0.1 / 20)
    assert statistics.minimum_detectable_effect([0.0] * 4) == pytest.approx(2.80 / 4)
    assert statistics.minimum_detectable_effect([1.0, 0.0]) == 1.0


def test_harmonic_mean() -> None:
    assert statistics.harmonic(0.8, 0.4) == pytest.approx(0.5333333)
    assert statistics.harmonic(0.0, 0.4) == 0


def test_the_interval_of_h_comes_from_both_halves() -> None:
    base, new = [1.0] * 80 + [0.0] * 20, [1.0] * 40 + [0.0] * 60
    low, high = statistics.harmonic_interval(base, new, seed=0)
    assert low < 0.5333 < high
    # the delta method: gradient (2 n²/(b+n)², 2 b²/(b+n)²)
    spread = math.hypot(2 * 0.16 / 1.44 * 0.04, 2 * 0.64 / 1.44 * math.sqrt(0.24 / 100))
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.08)
    assert statistics.harmonic_interval([0.0] * 5, new, seed=0) == (0, 0)


def test_the_mean_of_other_scores_has_an_interval_too() -> None:
    low, high = statistics.bootstrap_mean([0.0, 0.5, 1.0] * 30, seed=0)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(1 / 6 / 90), rel=0.1)
