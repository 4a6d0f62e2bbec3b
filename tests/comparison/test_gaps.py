"""The statistics of a comparison, beside scipy's and formulas written out anew."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import fmean

import compared
import numpy as np
import pytest
from scipy import stats

from rftkit.comparison import gaps, weighted
from rftkit.comparison.schema import Gap, Metric, Value
from rftkit.measures import statistics
from rftkit.metrics import classes
from rftkit.metrics.samples import Sample
from rftkit.metrics.scoring import derive
from rftkit.tasks.task import Part


def of(before: Sequence[float], after: Sequence[float], images: Sequence[str] = ()) -> Gap:
    names = images or [str(place) for place in range(len(before))]
    pairs = {
        f"{name}#{n}": scores
        for n, (name, *scores) in enumerate(zip(names, before, after, strict=True))
    }
    first, second = compared.scores_of({name: (a, b) for name, (a, b) in pairs.items()})
    return gaps.of_scores(first, second, lambda sample: sample.correct)


def drawn(n: int, seed: int) -> list[float]:
    return [float(random.Random(seed + place).random() < 0.6) for place in range(n)]


def test_right_and_wrong_of_120_images_are_those_of_scipy() -> None:
    before, after = drawn(120, 1), drawn(120, 5000)
    lost = sum(a > b for a, b in zip(before, after, strict=True))
    won = sum(b > a for a, b in zip(before, after, strict=True))
    assert lost + won >= statistics.FEW_PAIRS
    gap = of(before, after)
    assert (gap.lower, gap.higher, gap.pairs) == (lost, won, 120)
    assert gap.p == pytest.approx(stats.binomtest(won, lost + won, 0.5).pvalue)
    differences = np.array(after) - np.array(before)
    half = stats.norm.ppf(0.975) * differences.std() / math.sqrt(120)
    assert gap.value == pytest.approx(differences.mean())
    assert (gap.low, gap.high) == pytest.approx((gap.value - half, gap.value + half))
    assert (gap.p_test, gap.method) == ("McNemar, exact", "paired Wald")


def test_few_pairs_that_differ_have_the_interval_of_bonett_and_price() -> None:
    gap = of([1.0] * 40 + [0.0] * 10, [1.0] * 38 + [0.0] * 2 + [1.0] * 7 + [0.0] * 3)
    lost, won, n = 2, 7, 50
    a, b = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    half = 1.959963984540054 * math.sqrt((a + b - (b - a) ** 2) / (n + 2))
    assert gap.value == pytest.approx(0.1)
    assert (gap.low, gap.high) == pytest.approx((b - a - half, b - a + half))
    assert gap.p == pytest.approx(stats.binomtest(2, 9).pvalue)
    assert gap.verdict == "no difference detected"
    minus = 0.5 ** (9 - 1) * math.comb(9, 2) / 2  # the mid-p version takes half of that point off
    assert gap.p_mid == pytest.approx((gap.p or 0) - minus)


def test_degrees_have_a_bootstrap_and_a_test_of_signs_as_scipy_has_them() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(60)
    after = np.clip(before + rng.normal(0.06, 0.2, 60), 0, 1)
    gap = of(list(before), list(after))
    theirs = stats.bootstrap((after - before,), np.mean, method="percentile", rng=1)
    assert (gap.low, gap.high) == pytest.approx(theirs.confidence_interval, abs=0.008)
    signs = stats.permutation_test(
        (after - before,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
    )
    assert gap.p == pytest.approx(signs.pvalue, abs=0.01)
    assert (gap.p_test, gap.method) == ("sign flips by image", "paired bootstrap")


def test_several_questions_of_an_image_are_drawn_and_flipped_together() -> None:
    images = [f"image {place // 4}" for place in range(40)]
    after = [float(place // 4 % 2 == 0) for place in range(40)]
    clustered = of([0.0] * 40, after, images)
    single = of([0.0] * 40, after)
    assert clustered.value == single.value == 0.5
    assert (clustered.high or 0) - (clustered.low or 0) > (single.high or 0) - (single.low or 0)
    assert clustered.p == pytest.approx(2 / 2**5, abs=0.01)  # five images moved, all one way
    assert clustered.p_mid is None


def test_holm_adjusts_over_the_subjects() -> None:
    made = [of([0.0] * 20, [1.0] * k + [0.0] * (20 - k)) for k in (5, 7, 6)]
    row = Metric(name="headline", title="accuracy", better="higher",
                 values=(Value(value=0.0),) * 4, gaps=tuple(made))  # fmt: skip
    p = [2 * 0.5**k for k in (5, 7, 6)]
    found = [gap.p_holm for gap in gaps.with_holm(row).gaps if gap]
    assert found == pytest.approx([max(p[0], 2 * p[2], 3 * p[1]), 3 * p[1], 2 * p[2]])


def test_one_p_needs_no_adjusting() -> None:
    row = Metric(name="headline", title="accuracy", better="higher",
                 values=(Value(value=0.0),) * 2, gaps=(of([0.0, 1.0], [1.0, 1.0]),))  # fmt: skip
    assert gaps.with_holm(row) == row


def pets(count: int, seed: int) -> list[Sample]:
    """Answers to `count` pets, about two in three of them right; some are no label."""
    rng = random.Random(seed)
    texts = [
        compared.GOLD[place % 6] if rng.random() < 0.5 else rng.choice([*compared.PETS, "horse"])
        for place in range(count)
    ]
    halves = {"cat": "base", "dog": "base", "fox": "new"}
    return [
        derive(
            compared.sample(place, text, half=halves[compared.GOLD[place % 6]]), compared.header()
        )
        for place, text in enumerate(texts)
    ]


def test_with_all_weights_one_a_metric_is_that_of_the_summary() -> None:
    samples, ones = pets(90, 3), np.ones(90)
    rows = classes.class_rows(samples, compared.header())
    assert weighted.macro_accuracy(samples)(ones) == pytest.approx(
        classes.macro([row.accuracy.value for row in rows])
    )
    assert weighted.macro_f1(samples)(ones) == pytest.approx(
        classes.macro([row.f1 for row in rows])
    )
    halves = classes.halves(samples)
    assert halves
    assert weighted.harmonic(samples)(ones) == pytest.approx(halves.harmonic.value)


def test_weights_stand_for_copies() -> None:
    samples = pets(30, 4)
    times = np.random.default_rng(1).integers(0, 3, size=30)
    copies = [s for s, k in zip(samples, times, strict=True) for _ in range(k)]
    rows = classes.class_rows(copies, compared.header())
    assert weighted.macro_f1(samples)(times.astype(float)) == pytest.approx(
        fmean(row.f1 for row in rows)
    )
    assert weighted.macro_accuracy(samples)(times.astype(float)) == pytest.approx(
        fmean(row.accuracy.value for row in rows)
    )


def test_the_interval_of_macro_accuracy_is_that_of_scipy() -> None:
    before, after = pets(90, 5), pets(90, 6)
    functions = weighted.macro_accuracy(before), weighted.macro_accuracy(after)
    gap = gaps.of_statistics(*functions, before, 0.25)
    gold = np.array([s.gold for s in before])
    ours, theirs = (np.array([s.correct for s in side]) for side in (before, after))

    def macro(which: np.ndarray) -> float:
        return float(
            np.mean([
                theirs[which][gold[which] == c].mean() - ours[which][gold[which] == c].mean()
                for c in compared.PETS
            ])
        )  # fmt: skip

    found = stats.bootstrap(
        (np.arange(90),), macro, vectorized=False, method="percentile", n_resamples=3000, rng=2
    ).confidence_interval
    assert (gap.low, gap.high) == pytest.approx(tuple(found), abs=0.02)
    assert (gap.value, gap.p) == (0.25, None)


def test_a_ratio_of_sums_is_not_the_mean_of_ratios() -> None:
    value = weighted.ratio([Part(1, 4), Part(1, 1), Part(0, 0)])
    assert value(np.ones(3)) == pytest.approx(2 / 5)
    assert value(np.array([0.0, 2.0, 5.0])) == 1
    assert math.isnan(value(np.array([0.0, 0.0, 1.0])))


def test_an_interval_that_no_draw_defines_is_left_out() -> None:
    nothing = weighted.ratio([Part(0, 0)] * 3)
    samples = compared.replies(["cat"] * 3)
    gap = gaps.of_statistics(nothing, nothing, samples, 0.0)
    assert (gap.low, gap.high, gap.verdict, gap.method) == (None, None, None, "")


def test_tokens_have_a_paired_interval_and_no_p() -> None:
    before = compared.replies(["cat"] * 6, tokens=10)
    after = [s.model_copy(update={"tokens": 10 - 2 * n}) for n, s in enumerate(before)]
    gap = gaps.of_counts(before, after, lambda sample: sample.tokens)
    assert (gap.value, gap.p, gap.lower, gap.higher) == (-5, None, 5, 0)
    theirs = stats.bootstrap(
        ([0.0, -2, -4, -6, -8, -10],), np.mean, method="percentile", rng=0
    ).confidence_interval
    assert (gap.low, gap.high) == pytest.approx(tuple(theirs), abs=0.35)
    assert gap.verdict == "lower"
