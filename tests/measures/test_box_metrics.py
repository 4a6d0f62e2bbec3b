"""Figures of lists of boxes, and of single ones."""

import pytest

from rftkit.answers.boxes import Box, Found, Labelled
from rftkit.measures.box_metrics import Listed, box_figures, grounding_figures

LEFT, RIGHT = Box(0.0, 0.0, 0.4, 0.4), Box(0.6, 0.6, 1.0, 1.0)
NEAR_LEFT = Box(0.0, 0.0, 0.4, 0.3)  # IoU 0.75
HALF = Box(0.0, 0.0, 0.4, 0.2)
CAT, DOG = Labelled("cat", LEFT), Labelled("dog", RIGHT)


def cat(box: Box | None, confidence: float = 1.0) -> Found:
    return Found(box, confidence, "cat")


def test_boxes_of_all_images_count_together() -> None:
    figures = box_figures(
        [
            Listed("p", [cat(NEAR_LEFT), cat(RIGHT), cat(None)], [CAT]),
            Listed("q", [cat(LEFT)], [CAT, DOG]),
            Listed("r", [], []),
        ]
    )
    assert figures.precision.value == pytest.approx(2 / 4)
    assert figures.recall.value == pytest.approx(2 / 3)
    assert figures.f1.value == pytest.approx(2 * 2 / 7)
    assert (figures.precision.n, figures.recall.n, figures.f1.n) == (4, 3, 7)
    assert figures.mean_iou.value == pytest.approx((0.75 + 1) / 2)
    assert figures.count_error == pytest.approx((2 + 1 + 0) / 3)
    assert figures.exact_count.value == pytest.approx(1 / 3)
    assert figures.images == 3


@pytest.mark.parametrize(
    ("found", "f1"),
    [
        ([cat(LEFT), Found(RIGHT, 1.0, "dog")], 1.0),
        ([cat(RIGHT), Found(LEFT, 1.0, "dog")], 0.0),  # labels swapped
        ([Found(LEFT), Found(RIGHT)], 0.0),  # no labels
        ([cat(HALF), Found(RIGHT, 1.0, "dog")], 1.0),
        ([cat(Box(0.0, 0.0, 0.4, 0.19)), Found(RIGHT, 1.0, "dog")], 0.5),
        ([cat(LEFT), cat(LEFT), Found(RIGHT, 1.0, "dog")], 4 / 5),  # each gold box is given once
    ],
)
def test_a_pair_has_one_label_and_half_an_overlap(found: list[Found], f1: float) -> None:
    assert box_figures([Listed("p", found, [CAT, DOG])]).f1.value == pytest.approx(f1)


def test_what_lies_in_a_crowd_is_not_counted() -> None:
    crowd = Labelled("cat", Box(0.5, 0.5, 1.0, 1.0), crowd=True)
    half_in, mostly_out = Box(0.3, 0.6, 0.7, 0.8), Box(0.28, 0.6, 0.68, 0.8)
    for box, n in ((RIGHT, 1), (half_in, 1), (mostly_out, 2), (None, 2)):
        figures = box_figures([Listed("p", [cat(LEFT), cat(box)], [CAT, crowd])])
        assert (figures.precision.n, figures.recall.n) == (n, 1)
        assert figures.count_error == n - 1
    inside = Labelled("cat", RIGHT)
    figures = box_figures([Listed("p", [cat(RIGHT)], [inside, crowd])])
    assert (figures.precision.value, figures.recall.value) == (1, 1)
    other = Labelled("dog", crowd.box, crowd=True)
    assert box_figures([Listed("p", [cat(RIGHT)], [other])]).precision.n == 1


def test_intervals_draw_whole_images() -> None:
    lists = [Listed(str(n), [cat(LEFT)] * 4 if n % 2 else [], [CAT] * 4) for n in range(40)]
    recall = box_figures(lists).recall
    assert (recall.value, recall.n) == (0.5, 160)
    assert (recall.low, recall.high) == pytest.approx((0.345, 0.655), abs=0.03)  # n is 40
    alone = [Listed(str(n), [cat(LEFT)] if n % 2 else [], [CAT]) for n in range(40)]
    recall = box_figures(alone).recall
    assert (recall.low, recall.high) == pytest.approx((0.3520, 0.6480), abs=5e-5)  # Wilson's
    one_image = [listed._replace(image="p") for listed in alone]
    recall = box_figures(one_image).recall
    assert (recall.low, recall.high) == (0.5, 0.5)


def test_nothing_measured_says_nothing() -> None:
    for lists in ([], [Listed("p", [], [])]):
        figures = box_figures(lists)
        for rate in (figures.f1, figures.precision, figures.recall, figures.mean_iou):
            assert (rate.value, rate.low, rate.high, rate.n) == (0, 0, 1, 0)
        assert figures.count_error == 0
        assert figures.exact_count.value == len(lists)


def test_single_boxes() -> None:
    pairs = [(LEFT, LEFT), (HALF, LEFT), (None, LEFT), (RIGHT, LEFT)]
    figures = grounding_figures(pairs * 5)
    assert figures.mean_iou.value == pytest.approx(1.5 / 4)
    assert figures.right.value == 0.5
    assert (figures.right.low, figures.right.high) == pytest.approx((0.2993, 0.7007), abs=5e-5)
    assert 0.15 < figures.mean_iou.low < 0.3 < 0.45 < figures.mean_iou.high < 0.6
    assert grounding_figures([]).right.n == 0
