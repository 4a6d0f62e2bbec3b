"""The best F1 and the average precision of one list of boxes."""

import random

import pytest

from rftkit.answers.box_matching import average_precision_of_image, optimal_f1
from rftkit.answers.boxes import Box, PredictedBox, iou
from rftkit.measures.average_precision import Detection, EvalImage, GoldBox, coco_map

BOX = Box(0.1, 0.1, 0.5, 0.5)
AWAY = Box(0.6, 0.6, 0.9, 0.9)


@pytest.mark.parametrize("seed", range(20))
def test_one_image_and_one_label_have_the_same_ap(seed: int) -> None:
    r = random.Random(seed)
    golds = [
        Box(x := r.random(), y := r.random(), x + 0.3, y + 0.3) for _ in range(r.randint(1, 9))
    ]
    found = [
        PredictedBox(
            Box(*(edge + r.uniform(-0.05, 0.05) for edge in r.choice(golds))), r.randint(0, 4) / 4
        )
        for _ in range((12, 130)[seed % 2])
    ]
    found += [PredictedBox(None, 0.5)]
    truths = [GoldBox("p", "a", box) for box in golds]
    guesses = [Detection("p", "a", box, confidence) for box, confidence, _ in found]
    scene = EvalImage("p", 640, 480, ("a",))
    ap = coco_map(truths, guesses, [scene], ["a"]).ap
    assert average_precision_of_image(found, golds) == pytest.approx(ap, abs=1e-12)
    assert average_precision_of_image(found[::-1], golds[::-1]) == pytest.approx(ap, abs=1e-12)


@pytest.mark.parametrize(
    ("found", "gold", "ap", "f1"),
    [
        ([], [], 1, 1),
        ([], [BOX], 0, 0),
        ([PredictedBox(BOX)], [], 0, 0),
        ([PredictedBox(BOX)], [BOX], 1, 1),
        ([PredictedBox(None)], [BOX], 0, 0),
        ([PredictedBox(BOX), PredictedBox(BOX, 0.5)], [BOX], 1, 2 / 3),
        ([PredictedBox(None), PredictedBox(BOX, 0.5)], [BOX], 0.5, 2 / 3),
        ([PredictedBox(BOX)], [BOX, AWAY], 51 / 101, 2 / 3),
    ],
)
def test_one_list_against_gold(
    found: list[PredictedBox], gold: list[Box], ap: float, f1: float
) -> None:
    assert average_precision_of_image(found, gold) == pytest.approx(ap)
    assert optimal_f1(found, gold) == pytest.approx(f1)


def test_the_best_pairs_are_not_the_greedy_ones() -> None:
    gold = [Box(0.0, 0.0, 0.5, 1.0), Box(0.1, 0.0, 0.6, 1.0)]
    first, second = Box(0.06, 0.0, 0.56, 1.0), Box(0.3, 0.0, 0.8, 1.0)  # second fits gold[1] only
    found = [PredictedBox(first, 1.0), PredictedBox(second, 0.5)]
    assert iou(first, gold[1]) > iou(first, gold[0]) > 0.4
    assert iou(second, gold[1]) > 0.4 > iou(second, gold[0])
    assert optimal_f1(found, gold, threshold=0.4) == 1
    assert optimal_f1(found, gold, threshold=0.5) == 0.5


def test_a_threshold_of_nought_still_asks_for_an_overlap() -> None:
    assert optimal_f1([PredictedBox(BOX)], [AWAY], threshold=0.0) == 0
    half = Box(0.1, 0.1, 0.5, 0.3)
    assert optimal_f1([PredictedBox(half)], [BOX]) == 1
    assert optimal_f1([PredictedBox(half)], [BOX], threshold=0.51) == 0


def test_a_box_stands_before_no_box_of_the_same_confidence() -> None:
    found = [PredictedBox(None, 0.5), PredictedBox(BOX, 0.5)]
    assert average_precision_of_image(found, [BOX]) == 1
    assert average_precision_of_image(found[::-1], [BOX]) == 1


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(("second", "ap50"), [(Box(0.0625, 0.125, 0.4375, 0.5), 1), (AWAY, 0.5)])
def test_of_two_equal_overlaps_the_box_further_right_is_taken(
    turn: int, second: Box, ap50: float
) -> None:
    gold = [Box(0.125, 0.125, 0.5, 0.5), Box(0.25, 0.125, 0.625, 0.5)]
    found = [PredictedBox(Box(0.1875, 0.125, 0.5625, 0.5), 1.0), PredictedBox(second, 0.5)]
    scene, labels = EvalImage("p", 64, 64, ("a",)), ["a"]
    truths = [GoldBox("p", "a", box) for box in gold[::turn]]
    guesses = [Detection("p", "a", box, confidence) for box, confidence, _ in found]
    ap = coco_map(truths, guesses, [scene], labels).ap
    assert average_precision_of_image(found, gold[::turn]) == pytest.approx(ap, abs=1e-12)
