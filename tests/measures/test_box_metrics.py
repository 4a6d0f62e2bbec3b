"""Figures of lists of boxes, and of single ones."""

import pytest

from rftkit.answers.boxes import Box, LabelledBox, PredictedBox
from rftkit.measures.box_metrics import ImageBoxes, measure_boxes, measure_grounding

LEFT, RIGHT = Box(0.0, 0.0, 0.4, 0.4), Box(0.6, 0.6, 1.0, 1.0)
NEAR_LEFT = Box(0.0, 0.0, 0.4, 0.3)  # IoU 0.75
HALF = Box(0.0, 0.0, 0.4, 0.2)
CAT, DOG = LabelledBox("cat", LEFT), LabelledBox("dog", RIGHT)


def cat(box: Box | None, confidence: float = 1.0) -> PredictedBox:
    return PredictedBox(box, confidence, "cat")


def test_boxes_of_all_images_count_together() -> None:
    figures = measure_boxes(
        [
            ImageBoxes("p", [cat(NEAR_LEFT), cat(RIGHT), cat(None)], [CAT]),
            ImageBoxes("q", [cat(LEFT)], [CAT, DOG]),
            ImageBoxes("r", [], []),
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
        ([cat(LEFT), PredictedBox(RIGHT, 1.0, "dog")], 1.0),
        ([cat(RIGHT), PredictedBox(LEFT, 1.0, "dog")], 0.0),  # labels swapped
        ([PredictedBox(LEFT), PredictedBox(RIGHT)], 0.0),  # no labels
        ([cat(HALF), PredictedBox(RIGHT, 1.0, "dog")], 1.0),
        ([cat(Box(0.0, 0.0, 0.4, 0.19)), PredictedBox(RIGHT, 1.0, "dog")], 0.5),
        (
            [cat(LEFT), cat(LEFT), PredictedBox(RIGHT, 1.0, "dog")],
            4 / 5,
        ),  # each gold box is given once
    ],
)
def test_a_pair_has_one_label_and_half_an_overlap(found: list[PredictedBox], f1: float) -> None:
    assert measure_boxes([ImageBoxes("p", found, [CAT, DOG])]).f1.value == pytest.approx(f1)


def test_what_lies_in_a_crowd_is_not_counted() -> None:
    crowd = LabelledBox("cat", Box(0.5, 0.5, 1.0, 1.0), crowd=True)
    half_in, mostly_out = Box(0.3, 0.6, 0.7, 0.8), Box(0.28, 0.6, 0.68, 0.8)
    for box, n in ((RIGHT, 1), (half_in, 1), (mostly_out, 2), (None, 2)):
        figures = measure_boxes([ImageBoxes("p", [cat(LEFT), cat(box)], [CAT, crowd])])
        assert (figures.precision.n, figures.recall.n) == (n, 1)
        assert figures.count_error == n - 1
    inside = LabelledBox("cat", RIGHT)
    figures = measure_boxes([ImageBoxes("p", [cat(RIGHT)], [inside, crowd])])
    assert (figures.precision.value, figures.recall.value) == (1, 1)
    other = LabelledBox("dog", crowd.box, crowd=True)
    assert measure_boxes([ImageBoxes("p", [cat(RIGHT)], [other])]).precision.n == 1


def test_intervals_draw_whole_images() -> None:
    lists = [ImageBoxes(str(n), [cat(LEFT)] * 4 if n % 2 else [], [CAT] * 4) for n in range(40)]
    recall = measure_boxes(lists).recall
    assert (recall.value, recall.n) == (0.5, 160)
    assert (recall.low, recall.high) == pytest.approx((0.345, 0.655), abs=0.03)  # n is 40
    alone = [ImageBoxes(str(n), [cat(LEFT)] if n % 2 else [], [CAT]) for n in range(40)]
    recall = measure_boxes(alone).recall
    assert (recall.low, recall.high) == pytest.approx((0.3520, 0.6480), abs=5e-5)  # Wilson's
    one_image = [listed._replace(image="p") for listed in alone]
    recall = measure_boxes(one_image).recall
    assert (recall.low, recall.high) == (0.5, 0.5)


def test_nothing_measured_says_nothing() -> None:
    for lists in ([], [ImageBoxes("p", [], [])]):
        figures = measure_boxes(lists)
        for rate in (figures.f1, figures.precision, figures.recall, figures.mean_iou):
            assert (rate.value, rate.low, rate.high, rate.n) == (0, 0, 1, 0)
        assert figures.count_error == 0
        assert figures.exact_count.value == len(lists)


def test_single_boxes() -> None:
    pairs = [(LEFT, LEFT), (HALF, LEFT), (None, LEFT), (RIGHT, LEFT)]
    figures = measure_grounding(pairs * 5)
    assert figures.mean_iou.value == pytest.approx(1.5 / 4)
    assert figures.right.value == 0.5
    assert (figures.right.low, figures.right.high) == pytest.approx((0.2993, 0.7007), abs=5e-5)
    assert 0.15 < figures.mean_iou.low < 0.3 < 0.45 < figures.mean_iou.high < 0.6
    assert measure_grounding([]).right.n == 0
