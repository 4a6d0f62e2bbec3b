"""Average precision against pycocotools, and against LVIS's rules written out a second time."""

import contextlib
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rftkit.answers.box_matching import rank
from rftkit.answers.boxes import Box, iou
from rftkit.errors import DataError
from rftkit.measures.average_precision import (
    MAX_CELLS,
    Detection,
    EvalImage,
    GoldBox,
    LvisMetrics,
    Rules,
    coco_map,
    lvis_map,
    map_interval,
)

SHARED = Path(__file__).parents[3] / "shared/data"
CARDS = SHARED / "det_cards6/instances_test.json"
LVIS = SHARED / "meta_detection/lvis_val_100.json.gz"

LABELS = ("a", "b", "c", "d", "e", "f")
FREQUENCY = {"a": "r", "b": "r", "c": "c", "d": "c", "e": "f", "f": "f"}
SIZES = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))
NOWHERE = (-9, -9, -8, -8)  # a false positive's pixels
BOX = Box(0.1, 0.1, 0.5, 0.5)
AWAY = Box(0.6, 0.6, 0.9, 0.9)
SCENE = EvalImage("p", 100, 100, LABELS)
HUGE = [Box(low, low, high, high) for low in (-1e308, 0, 1e307) for high in (1e300, 1e308)][:5]


class World(NamedTuple):
    """What `coco_map` takes."""

    truths: list[GoldBox]
    guesses: list[Detection]
    scenes: list[EvalImage]
    labels: tuple[str, ...] = LABELS


def world(seed: int, levels: int = 5, lvis: bool = False) -> World:
    """Random boxes in whole pixels; the last image is empty, and few confidences make ties."""
    r = random.Random(seed)
    scenes = [
        EvalImage(f"p{n:02}", r.randint(200, 700), r.randint(200, 500), LABELS) for n in range(9)
    ]
    if lvis:
        scenes = [s._replace(labels=some(r, 0.4), not_exhaustive=some(r, 0.3)) for s in scenes]
    truths, guesses = [], []
    for _ in range(45):
        scene, label = r.choice(scenes[:-1]), r.choice(LABELS[:-1])
        x, y = r.randrange(scene.width - 20), r.randrange(scene.height - 20)
        edges = (x, y, r.randint(x + 8, scene.width), r.randint(y + 8, scene.height))
        crowd = not lvis and r.random() < 0.15
        truths.append(GoldBox(scene.image, label, fractions(edges, scene), crowd))
        for _ in range(r.randint(0, 3)):
            moved = [edge + r.randint(-3, 3) for edge in edges]
            box = fractions(moved, scene) if r.random() < 0.9 else None
            other = r.choice(LABELS) if r.random() < 0.2 else label
            image = scene.image if r.random() < 0.9 else r.choice(scenes).image
            guesses.append(Detection(image, other, box, r.randrange(levels) / levels))
    return World(truths, guesses, scenes)


def some(r: random.Random, share: float) -> tuple[str, ...]:
    return tuple(label for label in LABELS if r.random() < share)


def fractions(edges: Any, scene: EvalImage) -> Box:
    sides = (scene.width, scene.height, scene.width, scene.height)
    return Box(*(edge / side for edge, side in zip(edges, sides, strict=True)))


def pixels(box: Box | None, scene: EvalImage) -> tuple[float, ...]:
    if box is None:
        return NOWHERE
    sides = (scene.width, scene.height, scene.width, scene.height)
    return tuple(round(edge * side, 4) for edge, side in zip(box, sides, strict=True))


def in_rank(guesses: list[Detection]) -> list[Detection]:
    return sorted(guesses, key=lambda g: (g.image, g.label, rank(g.box, g.confidence)))


def pycocotools(case: World) -> COCOeval:
    """What pycocotools makes of it, summarised."""
    places = {scene.image: (n, scene) for n, scene in enumerate(sorted(case.scenes), 1)}

    def row(entry: GoldBox | Detection) -> dict[str, Any]:
        number, scene = places[entry.image]
        x1, y1, x2, y2 = pixels(entry.box, scene)
        bbox, category = [x1, y1, x2 - x1, y2 - y1], case.labels.index(entry.label) + 1
        area = (x2 - x1) * (y2 - y1)
        return {"image_id": number, "category_id": category, "bbox": bbox, "area": area}

    truths = sorted(case.truths, key=lambda t: (t.image, t.label, t.box, t.crowd))
    gold = COCO()
    gold.dataset = {
        "images": [{"id": n, "width": s.width, "height": s.height} for n, s in places.values()],
        "categories": [{"id": n, "name": label} for n, label in enumerate(case.labels, 1)],
        "annotations": [
            {"id": n, "iscrowd": int(t.crowd), **row(t)} for n, t in enumerate(truths, 1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        gold.createIndex()
        found = gold.loadRes([{**row(g), "score": g.confidence} for g in in_rank(case.guesses)])
        judge = COCOeval(gold, found, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


@pytest.mark.parametrize("seed", range(12))
def test_coco_figures_are_those_of_pycocotools(seed: int) -> None:
    case = world(seed, levels=(5, 1, 1000)[seed % 3])
    assert any(truth.crowd for truth in case.truths)
    figures, judge = coco_map(*case), pycocotools(case)
    sizes = (figures.ap_small, figures.ap_medium, figures.ap_large)
    ours = (figures.ap, figures.ap50, figures.ap75, *sizes, figures.ar100)
    stats = [*judge.stats[:6], judge.stats[8]]
    assert [-1 if value is None else value for value in ours] == pytest.approx(stats, abs=1e-12)
    for k, label in enumerate(LABELS):
        curve = judge.eval["precision"][:, :, k, 0, 2]
        theirs = None if (curve == -1).all() else pytest.approx(curve.mean(), abs=1e-12)
        assert figures.by_label[label] == theirs
    assert figures.by_label["f"] is None
    assert figures.objects == sum(not truth.crowd for truth in case.truths)
    assert figures.images == 9


def sized(figures: LvisMetrics) -> list[float]:
    """AP, AP50, AP75, then by size and by frequency, -1 for None."""
    named = figures.model_dump(include={n for n in type(figures).model_fields if n[:2] == "ap"})
    return [-1 if value is None else value for value in named.values()]


def reference(case: World) -> list[float]:
    """The same figures by LVIS's rules, one box at a time."""
    kept = []
    for scene in case.scenes:
        mine = [g for g in in_rank(case.guesses) if g.image == scene.image]
        known = {*scene.labels, *(t.label for t in case.truths if t.image == scene.image)}
        top = sorted(mine, key=lambda g: -g.confidence)[:300]
        kept += [g for g in top if g.label in known]
    thresholds = [0.5 + 0.05 * n for n in range(10)]
    table = np.array(
        [
            [[one_curve(case, kept, label, size, t) for t in thresholds] for label in LABELS]
            for size in SIZES
        ]
    )  # sizes, labels, thresholds
    whole = table[0]
    groups = [whole[:2], whole[2:4], whole[4:]]
    parts = [whole, whole[:, 0], whole[:, 5], *table[1:], *groups]
    return [float(part[part > -1].mean()) if (part > -1).any() else -1 for part in parts]


def one_curve(
    case: World, kept: list[Detection], label: str, size: tuple[float, float], threshold: float
) -> float:
    """AP of one label, size and threshold; -1 without such objects."""
    verdicts: list[tuple[float, bool]] = []
    total = 0
    for scene in sorted(case.scenes):
        found = [pixels(g.box, scene) for g in kept if (g.image, g.label) == (scene.image, label)]
        stated = [g.confidence for g in kept if (g.image, g.label) == (scene.image, label)]
        gold = sorted(
            pixels(t.box, scene) for t in case.truths if (t.image, t.label) == (scene.image, label)
        )
        free = [box for box in gold if fits(box, size)], [b for b in gold if not fits(b, size)]
        total += len(free[0])
        for box, confidence in sorted(zip(found, stated, strict=True), key=lambda pair: -pair[1]):
            taken = [best(box, boxes, threshold) for boxes in free]
            if taken[0] is not None:
                free[0].pop(taken[0])
                verdicts.append((confidence, True))
            elif taken[1] is not None:
                free[1].pop(taken[1])
            elif fits(box, size) and label not in scene.not_exhaustive:
                verdicts.append((confidence, False))
    return interpolated(verdicts, total) if total else -1


def fits(box: tuple[float, ...], size: tuple[float, float]) -> bool:
    return size[0] <= (box[2] - box[0]) * (box[3] - box[1]) <= size[1]


def best(box: tuple[float, ...], gold: list[Any], threshold: float) -> int | None:
    overlaps = [(iou(box, other), n) for n, other in enumerate(gold)]  # type: ignore[arg-type]
    top = max(overlaps, default=(0.0, 0))
    return top[1] if top[0] >= threshold - 1e-12 else None


def interpolated(verdicts: list[tuple[float, bool]], total: int) -> float:
    ordered = [hit for _, hit in sorted(verdicts, key=lambda pair: -pair[0])]
    points = [(sum(ordered[:n]) / total, sum(ordered[:n]) / n) for n in range(1, len(ordered) + 1)]
    reached = [[p for recall, p in points if recall >= 0.01 * step] for step in range(101)]
    return sum(max(precisions, default=0.0) for precisions in reached) / 101


@pytest.mark.parametrize("seed", range(4))
def test_lvis_figures_follow_its_rules(seed: int) -> None:
    case = world(seed, levels=(4, 50)[seed % 2], lvis=True)
    figures = lvis_map(*case, FREQUENCY)
    assert sized(figures) == pytest.approx(reference(case), abs=1e-12)
    assert figures.ap != coco_map(*case).ap  # or the rules were not put to the test


@pytest.mark.parametrize(
    ("labels", "not_exhaustive", "ap"),
    [
        (("b",), (), 0.5),  # vouched for: a false positive of b
        ((), (), 1.0),  # nobody knows whether there is a b
        (("b",), ("b",), 1.0),  # not every b is marked
    ],
)
def test_a_guess_counts_only_where_its_label_is_vouched_for(
    labels: tuple[str, ...], not_exhaustive: tuple[str, ...], ap: float
) -> None:
    scenes = [
        EvalImage("p", 100, 100, ("b",)),
        EvalImage("q", 100, 100, labels, not_exhaustive),
    ]
    truths = [GoldBox("p", "b", BOX)]
    guesses = [Detection("p", "b", BOX, 0.5), Detection("q", "b", BOX, 0.9)]
    assert lvis_map(truths, guesses, scenes, ["b"], {"b": "r"}).ap_rare == ap
    assert lvis_map(truths, guesses, scenes, ["b"], {}).ap_rare is None


def test_lvis_keeps_300_guesses_of_a_image_of_all_labels_together() -> None:
    noise = [Detection("p", "b", AWAY, 0.9) for _ in range(299)]
    truths, last = [GoldBox("p", "a", BOX)], [Detection("p", "a", BOX, 0.5)]
    assert lvis_map(truths, noise + last, [SCENE], LABELS, {}).ap == 1
    assert lvis_map(truths, [*noise, noise[0], *last], [SCENE], LABELS, {}).ap == 0
    assert coco_map(truths, [*noise, noise[0], *last], [SCENE], LABELS).ap == 1


def test_lvis_looks_at_more_guesses_of_one_label_than_coco() -> None:
    truths, noise = [GoldBox("p", "a", BOX)], [Detection("p", "a", AWAY, 0.9) for _ in range(150)]
    guesses = [*noise, Detection("p", "a", BOX, 0.5)]
    assert lvis_map(truths, guesses, [SCENE], LABELS, {}).ap == pytest.approx(1 / 151)
    assert coco_map(truths, guesses, [SCENE], LABELS).ap == 0


def test_lvis_has_no_crowds() -> None:
    crowd = GoldBox("p", "a", BOX, crowd=True)
    assert lvis_map([crowd], [Detection("p", "a", BOX, 1.0)], [SCENE], LABELS, {}).ap == 1


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_of_gold_boxes_does_not_matter_to_a_guess_between_them(turn: int) -> None:
    truths = [
        GoldBox("p", "a", Box(0.1, 0.1, 0.5, 0.5)),
        GoldBox("p", "a", Box(0.2, 0.1, 0.6, 0.5)),
    ]
    guesses = [Detection("p", "a", Box(0.15, 0.1, 0.55, 0.5), 1.0)]
    guesses += [Detection("p", "a", Box(0.01, 0.1, 0.45, 0.5), 0.5)]  # fits the first one only
    assert coco_map(truths[::turn], guesses, [SCENE], ["a"]).ap50 == 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 50]))
def test_no_boxes_make_another_figure_than_pycocotools(seed: int, levels: int) -> None:
    case = world(seed, levels)
    theirs = pycocotools(case).stats
    ours = coco_map(*case)
    assert [ours.ap, ours.ap50, ours.ap75] == pytest.approx([*theirs[:3]], abs=1e-9)
    assert ours.ar100 == pytest.approx(theirs[8], abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_the_input_does_not_matter(r: random.Random, seed: int) -> None:
    case = world(seed, levels=2)
    mixed = [r.sample(part, len(part)) for part in (case.truths, case.guesses, case.scenes)]
    assert coco_map(*mixed, LABELS) == coco_map(*case)
    assert lvis_map(*mixed, LABELS, FREQUENCY) == lvis_map(*case, FREQUENCY)


def as_guesses(truths: list[GoldBox]) -> list[Detection]:
    return [Detection(t.image, t.label, t.box, 1.0) for t in truths if not t.crowd]


@pytest.mark.skipif(not CARDS.is_file(), reason="the shared data sets are not here")
def test_gold_earns_full_marks_on_real_annotations() -> None:
    case = annotated(json.loads(CARDS.read_text("utf-8")))
    figures = coco_map(case.truths, as_guesses(case.truths), case.scenes, case.labels)
    assert (figures.images, figures.objects) == (67, 143)
    assert (figures.ap, figures.ap50, figures.ap75, figures.ar100) == (1, 1, 1, 1)
    assert figures.by_label == dict.fromkeys(case.labels, 1)
    interval = map_interval(case.truths, as_guesses(case.truths), *case[2:], "coco")
    assert interval == (1, 1)


@pytest.mark.skipif(not LVIS.is_file(), reason="the shared data sets are not here")
def test_gold_earns_full_marks_by_the_rules_of_lvis() -> None:
    data = json.loads(gzip.decompress(LVIS.read_bytes()))
    case = annotated(data)
    frequency = {entry["name"]: entry["frequency"] for entry in data["categories"]}
    figures = lvis_map(case.truths, as_guesses(case.truths), *case[2:], frequency)
    assert (figures.images, figures.objects) == (100, 977)
    assert sized(figures) == [1] * 9
    assert sum(ap is None for ap in figures.by_label.values()) > 800


def annotated(data: Any) -> World:
    """A file of COCO's or LVIS's."""
    names = {entry["id"]: entry["name"] for entry in data["categories"]}
    scenes = {
        image["id"]: EvalImage(
            str(image["id"]),
            image["width"],
            image["height"],
            tuple(names[n] for n in image.get("neg_category_ids", names)),
            tuple(names[n] for n in image.get("not_exhaustive_category_ids", ())),
        )
        for image in data["images"]
    }
    truths = []
    for row in data["annotations"]:
        scene, (x, y, width, height) = scenes[row["image_id"]], row["bbox"]
        box = fractions((x, y, x + width, y + height), scene)
        truths.append(GoldBox(scene.image, names[row["category_id"]], box))
    return World(truths, [], list(scenes.values()), tuple(names.values()))


def test_nothing_to_find_has_no_figure_and_nothing_found_earns_nothing() -> None:
    guess, truth = Detection("p", "a", BOX, 1.0), GoldBox("p", "a", BOX)
    for truths, scenes in (([], [SCENE]), ([], []), ([truth._replace(crowd=True)], [SCENE])):
        figures = coco_map(truths, [guess] if scenes else [], scenes, LABELS)
        assert (figures.ap, figures.ar100, figures.objects) == (None, None, 0)
    missed = coco_map([truth], [], [SCENE], LABELS)
    assert (missed.ap, missed.ap_medium, missed.ap_large, missed.ar100) == (0, 0, None, 0)


@pytest.mark.parametrize("box", [None, *HUGE, Box(5, 5, 6, 6), Box(0.5, 0.2, 0.5 + 1e-15, 0.4)])
def test_what_is_no_box_of_the_image_is_a_false_positive(box: Box | None) -> None:
    guesses = [Detection("p", "a", BOX, 0.5), Detection("p", "a", box, 0.9)]
    assert coco_map([GoldBox("p", "a", BOX)], guesses, [SCENE], LABELS).ap == 0.5
    assert lvis_map([GoldBox("p", "a", BOX)], guesses, [SCENE], LABELS, {}).ap == 0.5


def test_the_area_of_a_mask_decides_the_size_if_it_is_known() -> None:
    truth, guesses = GoldBox("p", "a", BOX, area=1000), [Detection("p", "a", BOX, 1.0)]
    figures = coco_map([truth], guesses, [SCENE], LABELS)
    assert (figures.ap_small, figures.ap_medium) == (1, None)
    figures = coco_map([truth._replace(area=None)], guesses, [SCENE], LABELS)  # 40 × 40 pixels
    assert (figures.ap_small, figures.ap_medium) == (None, 1)


@pytest.mark.parametrize("high", [False, True])
def test_a_box_of_32_by_32_pixels_is_small_and_medium(high: bool) -> None:
    broken, whole = (10.05, 42.05), (0, 32)  # 42.05 - 10.05 is less than 32
    (x1, x2), (y1, y2) = (whole, broken) if high else (broken, whole)
    box = fractions((x1, y1, x2, y2), SCENE)
    figures = coco_map([GoldBox("p", "a", box)], [Detection("p", "a", box, 1.0)], [SCENE], LABELS)
    assert (figures.ap_small, figures.ap_medium) == (1, 1)


@pytest.mark.parametrize(
    ("side", "gold", "found"),
    [(659, (191, 217), (191, 204)), (850, (307, 705), (506, 705))],
)
def test_an_overlap_of_exactly_one_half_is_not_lost_in_fractions(
    side: int, gold: tuple[int, int], found: tuple[int, int]
) -> None:
    scene = EvalImage("p", side, 64, LABELS)
    truths = [GoldBox("p", "a", fractions((gold[0], 0, gold[1], 64), scene))]
    guesses = [Detection("p", "a", fractions((found[0], 0, found[1], 64), scene), 1.0)]
    assert coco_map(truths, guesses, [scene], LABELS).ap50 == 1


@pytest.mark.parametrize(
    ("scenes", "words"),
    [
        ([SCENE], "images: 'q' has boxes but is not listed"),
        ([SCENE, SCENE], "images: 'p' is listed 2 times"),
    ],
)
def test_every_image_has_one_scene(scenes: list[EvalImage], words: str) -> None:
    with pytest.raises(DataError, match=words):
        coco_map([], [Detection("q", "a", BOX, 1.0)], scenes, LABELS)


def test_the_interval_draws_images() -> None:
    scenes = [EvalImage(f"{n:02}", 100, 100, ("a",)) for n in range(40)]
    truths = [GoldBox(scene.image, "a", BOX) for scene in scenes]
    guesses = [Detection(scene.image, "a", BOX, 1.0) for scene in scenes[:20]]
    assert coco_map(truths, guesses, scenes, ["a"]).ap == pytest.approx(51 / 101)
    found = map_interval(truths, guesses, scenes, ["a"], "coco")
    assert found is not None
    assert found == pytest.approx((0.5 - 0.155, 0.5 + 0.155), abs=0.05)  # 1.96 · √(¼ / 40)
    assert found != map_interval(truths, guesses[1:], scenes, ["a"], "coco")
    assert found == map_interval(truths[::-1], guesses[::-1], scenes[::-1], ["a"], "coco")
    twice = map_interval(truths * 4, guesses * 4, scenes, ["a"], "lvis")
    assert twice is not None
    assert twice.high - twice.low == pytest.approx(found.high - found.low, rel=0.2)  # no narrower


@pytest.mark.parametrize("rules", ["coco", "lvis"])
def test_one_image_can_only_be_drawn_as_it_is(rules: Rules) -> None:
    case = world(3)
    here = case.scenes[2].image
    truths = [truth for truth in case.truths if truth.image == here]
    guesses = [guess for guess in case.guesses if guess.image == here]
    alone = World(truths, guesses, [case.scenes[2]])
    ap = coco_map(*alone).ap if rules == "coco" else lvis_map(*alone, FREQUENCY).ap
    assert ap is not None
    assert 0.1 < ap < 1
    assert map_interval(*alone, rules) == pytest.approx((ap, ap), abs=1e-12)


def test_no_interval_where_there_is_nothing_to_draw_or_too_much() -> None:
    guesses = [Detection("p", "a", BOX, 1.0)]
    assert map_interval([], guesses, [SCENE], ["a"], "coco") is None
    assert map_interval([], [], [], ["a"], "coco") is None
    labels = [str(n) for n in range(MAX_CELLS)] + ["a"]
    assert map_interval([GoldBox("p", "a", BOX)], guesses, [SCENE], labels, "coco") is None
