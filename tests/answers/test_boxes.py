"""Boxes: overlap, matching, and the trip between text and fractions of the image."""

from __future__ import annotations

import random

import pytest
from effort import assert_effort
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rftkit.answers import box_text, boxes
from rftkit.answers.boxes import Box, Grid, PredictedBox
from rftkit.answers.literals import literal
from rftkit.errors import DataError

PIXELS = Grid(640, 480)
A = Box(0.1, 0.2, 0.3, 0.4)
ONE = [PredictedBox(A, 0.9)]


@st.composite
def whole_boxes(draw: st.DrawFn, grid: Grid = boxes.THOUSANDTHS) -> Box:
    """A box whose edges fall on the grid."""
    x1, y1 = draw(st.integers(0, grid.width - 1)), draw(st.integers(0, grid.height - 1))
    x2, y2 = draw(st.integers(x1 + 1, grid.width)), draw(st.integers(y1 + 1, grid.height))
    return Box(x1 / grid.width, y1 / grid.height, x2 / grid.width, y2 / grid.height)


@pytest.mark.parametrize(
    ("a", "b", "overlap", "general"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1, 1),
        ((0, 0, 2, 2), (0, 0, 2, 1), 0.5, 0.5),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7, 1 / 7 - 2 / 9),
        ((0, 0, 1, 1), (1, 0, 2, 1), 0, 0),
        ((0, 0, 1, 1), (2, 0, 3, 1), 0, -1 / 3),
        ((1, 1, 0, 0), (0, 0, 1, 1), 0, 1),  # inverted corners: the hole in the papers' rule
    ],
)
def test_overlaps_worked_by_hand(
    a: boxes.Corners, b: boxes.Corners, overlap: float, general: float
) -> None:
    assert boxes.iou(a, b) == pytest.approx(overlap)
    assert boxes.giou(a, b) == pytest.approx(general)


@given(whole_boxes(), whole_boxes())
def test_overlap_is_symmetric_and_between_zero_and_one(a: Box, b: Box) -> None:
    assert boxes.iou(a, b) == boxes.iou(b, a)
    assert 0 <= boxes.iou(a, b) <= 1
    assert boxes.iou(a, a) == 1
    assert -1 <= boxes.giou(a, b) <= boxes.iou(a, b) + 1e-9


EDGE = st.floats(-1e6, 1e6)


@given(st.tuples(EDGE, EDGE, EDGE, EDGE), st.tuples(EDGE, EDGE, EDGE, EDGE))
def test_any_four_numbers_overlap_by_a_share(a: boxes.Corners, b: boxes.Corners) -> None:
    assert boxes.iou(a, b) == boxes.iou(b, a)
    assert 0 <= boxes.iou(a, b) <= 1


HUGE = Box(-1e308, -1e308, 1e308, 1e308)


@settings(deadline=None)  # the first call loads numpy
@given(st.lists(whole_boxes(), max_size=5), st.lists(whole_boxes(), max_size=5))
@example([HUGE, A], [A, HUGE, Box(0, 0, 1e-308, 1e-308)])
def test_all_overlaps_at_once_are_those_of_each_pair(found: list[Box], gold: list[Box]) -> None:
    one_by_one = [[boxes.iou(a, b) for b in gold] for a in found]
    assert boxes.ious([*found, None], gold) == [*one_by_one, [0.0] * len(gold)]


def test_a_thousand_boxes_are_matched_with_a_thousand_in_bounded_time() -> None:
    drawn = random.Random(0)

    def wide() -> Box:
        x, y = drawn.randrange(500), drawn.randrange(500)
        return Box(x / 1000, y / 1000, (x + 400) / 1000, (y + 400) / 1000)

    gold = [wide() for _ in range(boxes.MAX_BOXES)]
    predicted = [PredictedBox(wide(), drawn.random(), "a cat") for _ in gold]
    assert_effort(500, boxes.match_boxes, predicted, gold, 0.5, ["a  cat"] * len(gold))


@pytest.mark.parametrize(
    "text",
    [
        '[{"Position": [100, 200, 300, 400], "Confidence": 0.9}]',
        "[{'Position': [100, 200, 300, 400], 'Confidence': 0.9}]",
        "[{'position': (100, 200, 300, 400,), 'CONFIDENCE': .9},]",
        '[{"bbox_2d": [100, 200, 300, 400], "label": "it\'s", "score": 0.9}]',
        "[{'BBox': [1e2, +200, 300., 400], 'Score': 9e-1, 'label': 'it\\'s', 'crowd': False}]",
        '{"box": [100.0, 200.0, 300.0, 400.0], "confidence": 0.9}',
        '```json\n[{"bbox": [100, 200, 300, 400], "score": 0.9}]\n```',
        '``` [{"bbox": [100, 200, 300, 400], "score": 0.9}] ```',
    ],
)
def test_one_box_is_read_in_many_spellings(text: str) -> None:
    found = box_text.read_boxes(text)
    assert found is not None
    assert [entry._replace(label="") for entry in found] == ONE
    assert [entry.label for entry in found] == ["it's" if "label" in text else ""]
    assert box_text.read_box(text) == A


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[100, 200, 300, 400]", [PredictedBox(A)]),
        ("[[100, 200, 300, 400], [100, 200, 300, 400]]", [PredictedBox(A), PredictedBox(A)]),
        (
            "{'box': [100, 200, 300, 400]}, {'box': [100, 200, 300, 400]}",
            [PredictedBox(A), PredictedBox(A)],
        ),
        ("[]", []),
        ("No Objects", []),
        (" no objects. ", []),
        ("[{'box': [100, 200, 300, 400], 'score': 7}]", [PredictedBox(A, 1)]),
        ("[{'box': [100, 200, 300, 400], 'score': -7}]", [PredictedBox(A, 0)]),
        ("[{'box': [100, 200, 300, 400], 'score': nan}]", [PredictedBox(A, 1)]),
        ("[{'box': [100, 200, 300, 400], 'score': 'high'}]", [PredictedBox(A, 1)]),
        ("[{'box': [300, 200, 100, 400], 'score': 0.9}]", [PredictedBox(None, 0.9)]),
        ("[{'box': [100, 200, 100, 400]}]", [PredictedBox(None)]),
        ("[{'box': [100, 200, 300]}]", [PredictedBox(None)]),
        ("[{'box': [0, 0, 300, True]}]", [PredictedBox(None)]),
        ("[{'box': [100, 200, 300, '400']}]", [PredictedBox(None)]),
        ("[{'box': [100, 200, nan, 400]}]", [PredictedBox(None)]),
        ('[{"box": [100, 200, Infinity, 400]}]', [PredictedBox(None)]),
        (f'[{{"box": [100, 200, {"9" * 5000}, 400]}}]', [PredictedBox(None)]),
        ("[1, 2, 3]", [PredictedBox(None)]),
        ("[{'where': [100, 200, 300, 400]}]", [PredictedBox(None)]),
        ("['dog', null]", [PredictedBox(None), PredictedBox(None)]),
        ("['dog', None]", [PredictedBox(None), PredictedBox(None)]),
    ],
)
def test_an_entry_that_is_no_box_stays_as_a_false_positive(
    text: str, found: list[PredictedBox]
) -> None:
    assert box_text.read_boxes(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dog",
        "null",
        "None",
        "7",
        '"[1, 2, 3, 4]"',
        "[{'box': [100, 200, 300, 400]}, {'box': [5",
        "here: [100, 200, 300, 400]",
        "[100, 200, 300, 400][100, 200, 300, 400]",
        "__import__('os').getcwd()",
        "[1] * 4",
        "[" * 50_000,
        "[[1, 2, 3, 4]," * 1001 + "]",
        "[" + "[1,2,3,4]," * 1000 + "[1,2,3,4]]",
        "[100, 200, 300, 400]" + " " * 65_536,
    ],
)
def test_what_is_no_list_of_boxes_gives_no_answer(text: str) -> None:
    assert box_text.read_boxes(text) is None


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("(100,200),(300,400)", A),
        ("( 100 , 200 ) , ( 300 , 400 )", A),
        ("(100,200),(300,400))", A),
        ("The dog: (100,200),(300,400).", A),
        ("(100.5,200.5),(300.5,400.5)", Box(0.1005, 0.2005, 0.3005, 0.4005)),
        ("[[100, 200], [300, 400]]", A),
        ("[100, 200, 300, 400]", A),
        ("[[100, 200, 300, 400]]", A),
        ("(300,200),(100,400)", None),
        ("(100,200),(300,400", None),
        ("(100,200),(300,400) or (1,2),(3,4)", None),
        ("(100,200),(300,400) or 5", None),
        ("<think>(100,200),(300,400)</think>", None),
        ("[[100, 200, 300, 400], [1, 2, 3, 4]]", None),
        ("[]", None),
        ("the dog", None),
    ],
)
def test_grounding_reads_exactly_one_valid_box(text: str, box: Box | None) -> None:
    assert box_text.read_box(text) == box


def test_pixels_are_fractions_of_the_size() -> None:
    assert box_text.read_box("[64, 96, 192, 192]", PIXELS) == A._replace(x1=0.1, x2=0.3)
    assert box_text.write_box(A, PIXELS) == "(64,96),(192,192)"
    assert Grid.named(str(PIXELS)) == PIXELS


@pytest.mark.parametrize("grid", [boxes.THOUSANDTHS, PIXELS, Grid(1, 1), Grid(1288, 952)])
@given(data=st.data())
def test_boxes_on_the_grid_survive_the_trip_through_text(grid: Grid, data: st.DataObject) -> None:
    gold = data.draw(st.lists(whole_boxes(grid), max_size=5))
    read = box_text.read_boxes(box_text.write_boxes(gold, grid), grid)
    assert read == [PredictedBox(box) for box in gold]
    assert boxes.load_boxes(boxes.dump_boxes(gold)) == gold
    for box in gold:
        assert box_text.read_box(box_text.write_box(box, grid), grid) == box
        assert boxes.box_of(boxes.in_grid(box, grid), grid) == box


@example([0.9999, 1.0, 0.0, 0.0001])
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4, unique=True))
def test_the_smallest_box_is_still_a_box_when_written(edges: list[float]) -> None:
    (x1, x2), (y1, y2) = sorted(edges[:2]), sorted(edges[2:])
    written = box_text.read_box(box_text.write_box(Box(x1, y1, x2, y2)))
    assert written is not None
    assert min(written) >= 0
    assert max(written) <= 1


def test_matching_is_greedy_by_confidence_then_by_overlap() -> None:
    gold = [Box(0.1, 0.1, 0.3, 0.3)]
    exact, near = Box(0.1, 0.1, 0.3, 0.3), Box(0.1, 0.1, 0.3, 0.26)
    sure = boxes.match_boxes([PredictedBox(exact, 0.5), PredictedBox(near, 0.9)], gold)
    assert [m.iou for m in sure] == [0, pytest.approx(0.8)]
    tied = boxes.match_boxes([PredictedBox(near), PredictedBox(exact)], gold)
    assert [m.iou for m in tied] == [0, 1]


def test_a_match_needs_the_threshold_and_half_is_enough() -> None:
    gold = [Box(0.1, 0.2, 0.3, 0.4)]
    half, less = Box(0.1, 0.201, 0.3, 0.301), Box(0.1, 0.201, 0.3, 0.3)
    assert boxes.match_boxes([PredictedBox(half)], gold)[0].iou == pytest.approx(0.5)
    assert boxes.match_boxes([PredictedBox(less)], gold)[0].iou == 0
    assert boxes.match_boxes([PredictedBox(less)], gold, threshold=0)[0].iou == pytest.approx(0.495)
    assert boxes.match_boxes([PredictedBox(Box(0.5, 0.5, 1, 1))], gold, threshold=0)[0].iou == 0


@given(
    found=st.lists(st.tuples(whole_boxes(Grid(4, 4)), st.sampled_from([0.5, 1.0])), max_size=6),
    gold=st.lists(whole_boxes(Grid(4, 4)), max_size=6),
    seed=st.integers(0, 99),
)
def test_matching_does_not_mind_the_order(
    found: list[tuple[Box, float]], gold: list[Box], seed: int
) -> None:
    entries = [PredictedBox(*entry) for entry in found]
    other, mixed = entries.copy(), gold.copy()
    random.Random(seed).shuffle(other)
    random.Random(seed).shuffle(mixed)
    assert sorted(boxes.match_boxes(entries, gold)) == sorted(boxes.match_boxes(other, mixed))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([300, 200, 100, 400], "[300, 200, 100, 400] is not [x1, y1, x2, y2]"),
        ([100, 200, float("nan"), 400], "nan"),
        ("100,200,300,400", "'100,200,300,400' is not"),
        ([100, 200, 300, 1400], "leaves the image, 1000 by 1000 units"),
        ([-1, 200, 300, 400], "leaves the image"),
    ],
)
def test_a_bad_gold_box_is_refused_by_place_and_value(value: object, says: str) -> None:
    with pytest.raises(DataError, match=r"^pets.json:3: gold box ") as refused:
        boxes.gold_box(value, boxes.THOUSANDTHS, "pets.json:3")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': (1, .5, -2.), \"b\": [True, None,],}", {"a": [1, 0.5, -2], "b": [True, None]}),
        (r"'it\'s'", "it's"),
        (r"['\xe9\u2014\U0001f600\n', '\ud800\N{BULLET}']", ["é—😀\n", r"\ud800\N{BULLET}"]),
        ("[1 2]", None),
        ("{1, 2}", None),
        ("-", None),
        ("'open", None),
        ("print", None),
        ("1 + 1", None),
    ],
)
def test_literals_are_read_and_expressions_are_not(text: str, value: object) -> None:
    assert literal(text) == value


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from([*"[](){},:'\"\\-+.e019 ", "nan", "box", "```"])).map("".join),
    )
)
def test_reading_boxes_never_raises(text: str) -> None:
    for entry in box_text.read_boxes(text) or []:
        assert entry.box is None or (entry.box.x1 < entry.box.x2 and entry.box.y1 < entry.box.y2)
        assert 0 <= entry.confidence <= 1
    box_text.read_box(text)


@pytest.mark.parametrize(
    "unit",
    [
        *["[", "(", "{'a':", "'", "-", "1", "1+", "(1,", "(1,2),", "[1,2,3,4],", "[0,0,0,0],"],
        *["{},", "( 1 , ", "```", "\\'", "nan,", " ", "(1", '{"box":[0,0,1,1]},', "1e", "1."],
    ],
)
@pytest.mark.parametrize("start", ["", "[", "(1,2),(3,4)"])
def test_64_kilobytes_are_read_in_linear_time(unit: str, start: str) -> None:
    text = (start + unit * 65_536)[:65_536]
    for read in (box_text.read_boxes, box_text.read_box):
        assert_effort(35, read, text)
