"""What every task owes: gold earns full marks in every style, hacks built from it earn none."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace
from decimal import Decimal
from typing import get_args

import pytest
from effort import assert_effort
from hypothesis import given, settings
from hypothesis import strategies as st

from rftkit.answers import box_text, boxes, replies
from rftkit.answers.boxes import Box
from rftkit.answers.number_text import number_in, spelled
from rftkit.core import Attempt, Completion, Example, NoImage, Row, Style
from rftkit.errors import DataError
from rftkit.preflight.attacks import attacks
from rftkit.rewards.general import paper_answer
from rftkit.tasks import (
    TASKS,
    choice,
    classification,
    detection,
    detection_paper,
    get_task,
    grounding,
    number,
)
from rftkit.tasks.annotated import chosen_categories
from rftkit.tasks.options import ChoiceOptions, DetectionOptions, GroundingOptions, NumberOptions
from rftkit.tasks.reading import Reading
from rftkit.tasks.task import Task

STYLES: tuple[Style, ...] = get_args(Style)
OPEN = replace(
    classification.TASK.sample, gold="737-300", choices=(), labels=("737", "737-300", "DC-10")
)
PIXELS = replace(detection.TASK.sample, meta={"grid": "640x480"})
NONE_THERE = replace(detection.TASK.sample, gold="[]")
TWO_KINDS = replace(
    detection.TASK.sample,
    question=detection.QUESTION_ALL,
    gold=boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.5, 0.75, 0.9)], ["dog", "cat"]),
    choices=("cat", "dog"),
)
CASES = [(task, task.sample) for task in TASKS]
CASES += [(classification.TASK, OPEN), (detection.TASK, PIXELS), (detection.TASK, NONE_THERE)]
CASES += [(detection.TASK, TWO_KINDS)]
WHOLE_IMAGE = Box(0, 0, 1, 1)

every_case = pytest.mark.parametrize(
    ("task", "example"),
    CASES,
    ids=[*(task.name for task in TASKS), "open", "pixels", "nothing there", "two kinds"],
)
every_style = pytest.mark.parametrize("style", STYLES)


def attempt(task: Task, example: Example, style: Style, text: str) -> Attempt:
    return task.attempt(example, style, Completion(text))


def headline(task: Task, example: Example, style: Style, text: str) -> float:
    return task.rewards_of(attempt(task, example, style, text))[task.headline]


def test_every_task_is_found_by_its_name() -> None:
    assert all(get_task(task.name) is task for task in TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_has_wrong_answers_to_try(task: Task) -> None:
    wrong = task.wrong(task.sample)
    assert wrong, f"Task(wrong_answers=...) of {task.name!r}: give one at least, to build hacks of"
    for answer in wrong:
        text = replies.render(answer, None, "direct")
        parts = task.rewards_of(attempt(task, task.sample, "direct", text))
        assert parts[task.headline] < task.min_gold_reward


@every_case
@every_style
def test_no_attack_earns_anything(task: Task, example: Example, style: Style) -> None:
    made = attacks(task, example, style)
    assert len(made) >= 5
    for name, texts in made.items():
        for text in texts:
            parts = task.rewards_of(attempt(task, example, style, text))
            if name == "gold, then another":
                assert parts[task.headline] == 0 or parts.get("format") == 0
            elif name.startswith("gold with a box"):
                there = len(boxes.load_boxes(example.gold))
                assert parts[task.headline] == pytest.approx(there / (there + 1))
            else:
                assert parts[task.headline] == 0, name


@every_case
@every_style
def test_gold_earns_full_marks_in_every_style(task: Task, example: Example, style: Style) -> None:
    parts = task.rewards_of(attempt(task, example, style, task.ideal(example, style)))
    assert parts == dict.fromkeys(parts, 1.0)
    assert task.headline in parts
    assert ("format" in parts) == (style != "direct")


@every_case
@every_style
def test_what_sft_teaches_is_answered_right(task: Task, example: Example, style: Style) -> None:
    assert headline(task, example, style, task.target(example, style)) == 1


@every_case
@every_style
def test_an_empty_reply_earns_nothing(task: Task, example: Example, style: Style) -> None:
    for text in ("", " \n", replies.render("", "two ears", style), replies.EMPTY_THOUGHT):
        assert headline(task, example, style, text) == 0


@every_case
@every_style
def test_all_labels_at_once_earn_nothing(task: Task, example: Example, style: Style) -> None:
    answers = [task.written(example), *task.wrong(example)]
    for joint in (" ", ", ", "\n", " or ", " and ", "/"):
        text = replies.render(joint.join(answers), "all", style)
        if (task.name, joint) == ("detection", ", "):
            assert headline(task, example, style, text) < 1  # this spells one longer list
        else:
            assert headline(task, example, style, text) == 0


@every_case
@every_style
def test_gold_inside_the_reasoning_earns_nothing(
    task: Task, example: Example, style: Style
) -> None:
    gold = task.written(example)
    for inner in (gold, f" {gold} ", f"<answer>{gold}</answer>"):
        for tag in ("think", "reason"):
            assert headline(task, example, style, f"<{tag}>{inner}</{tag}>") == 0
            assert headline(task, example, style, f"<{tag}>{inner}") == 0


@every_case
@every_style
def test_gold_then_another_earns_nothing(task: Task, example: Example, style: Style) -> None:
    ideal = task.ideal(example, style)
    for other in task.wrong(example):
        for text in (ideal + "\n" + other, other + "\n" + ideal):
            if style == "direct":
                assert headline(task, example, style, text) == 0
            else:
                assert task.rewards_of(attempt(task, example, style, text))["format"] == 0
        second = replies.render(other, None, style)
        assert headline(task, example, style, f"{ideal}\n{second}") == 0


@every_style
@pytest.mark.parametrize("example", [detection.TASK.sample, PIXELS, NONE_THERE])
def test_a_box_around_everything_costs_every_reward(example: Example, style: Style) -> None:
    gold = boxes.load_boxes(example.gold)
    more = box_text.write_boxes([*gold, WHOLE_IMAGE], boxes.Grid.of(example.meta))
    reply = attempt(detection.TASK, example, style, replies.render(more, "boxes", style))
    share = len(gold) / (len(gold) + 1)
    assert detection.mean_iou(reply) == pytest.approx(share)
    assert detection.f1(reply) == pytest.approx(2 * len(gold) / (2 * len(gold) + 1))
    assert detection.map_length(reply) == pytest.approx(share, abs=0.35 if gold else 0)


@every_case
@every_style
def test_gold_cut_off_earns_nothing(task: Task, example: Example, style: Style) -> None:
    ideal = task.ideal(example, style)
    answered = ideal.rfind("</answer>") + len("</answer>") if style != "direct" else len(ideal)
    for length in range(answered):
        assert headline(task, example, style, ideal[:length]) == 0


@every_case
def test_a_direct_reply_that_was_cut_off_earns_nothing(task: Task, example: Example) -> None:
    completion = Completion(task.written(example), finished=False)
    assert task.rewards_of(task.attempt(example, "direct", completion))[task.headline] == 0


@every_case
@every_style
def test_the_prompt_asks_for_the_style_and_hides_the_gold(
    task: Task, example: Example, style: Style
) -> None:
    prompt = task.prompt(example, style)
    assert prompt.endswith(replies.INSTRUCTIONS[style])
    assert task.written(example) not in prompt or example.choices or example.gold == "[]"


def test_the_prompt_of_boxes_names_their_coordinates() -> None:
    assert "from 0 to 640" in detection.prompt(PIXELS, "direct")
    assert "from 0 to 1000" in grounding.prompt(grounding.TASK.sample, "direct")


def fragments(task: Task, example: Example) -> list[str]:
    gold = task.written(example)
    tags = ["<think>", "</think>", "<answer>", "</answer>", "<reason>", "</reason>"]
    return [*tags, gold, gold[: len(gold) // 2], *task.wrong(example), "a", " ", ", ", "["]


@every_case
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_text_earns_more_than_gold(task: Task, example: Example, data: st.DataObject) -> None:
    piece = st.one_of(st.sampled_from(fragments(task, example)), st.text(max_size=4))
    text = "".join(data.draw(st.lists(piece, max_size=12)))
    for style in STYLES:
        reply = attempt(task, example, style, text)
        parts = task.rewards_of(reply)
        assert all(math.isfinite(part) and 0 <= part <= 1 for part in parts.values())
        assert all(math.isfinite(part) for part in task.rewards_of(reply, "paper").values())
        if task.headline in parts and parts[task.headline] > 0:
            assert task.parsed(reply) is not None


@settings(max_examples=40, deadline=None)
@given(data=st.data(), case=st.sampled_from(CASES))
def test_no_text_of_64_kilobytes_is_slow_or_makes_a_rule_raise(
    data: st.DataObject, case: tuple[Task, Example]
) -> None:
    task, example = case
    piece = st.one_of(st.sampled_from(fragments(task, example)), st.text(max_size=6))
    unit = "".join(data.draw(st.lists(piece, min_size=1, max_size=5))) or " "
    whole = (unit * (65536 // len(unit) + 1))[:65536]
    for text in (whole, f"<think>a</think><answer>{whole[:65000]}</answer>"):
        assert_effort(150, score_both_ways, task, example, text)


ANSWER = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@given(answer=st.text("ABCD (.)", min_size=1, max_size=3) | ANSWER, style=st.sampled_from(STYLES))
def test_an_answer_says_the_same_in_every_style(answer: str, style: Style) -> None:
    """Bare, or rendered with reasoning: what a task reads in it does not change."""
    for task, example in CASES:
        if replies.TAG.search(answer):
            return
        bare = task.parsed(attempt(task, example, "direct", answer))
        rendered = replies.render(answer, "two ears", style)
        assert task.parsed(attempt(task, example, style, rendered)) == bare


@given(st.decimals(-(10**14), 10**14, places=3, allow_nan=False) | st.integers(-(10**14), 10**14))
def test_a_number_that_is_written_reads_back(value: Decimal | int) -> None:
    assert number_in(spelled(Decimal(value))) == Decimal(value)


@given(
    entries=st.lists(
        st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 9),
                  st.sampled_from([0.25, 0.5, 1.0])), max_size=6),
    order=st.randoms(use_true_random=False),
    example=st.sampled_from([detection.TASK.sample, PIXELS, NONE_THERE]),
)  # fmt: skip
def test_the_order_of_boxes_changes_no_reward(
    entries: list[tuple[int, int, int, float]], order: random.Random, example: Example
) -> None:
    said = [{"box": [x, y, x + size, y + size], "score": sure} for x, y, size, sure in entries]
    golds = boxes.load_boxes(example.gold)
    said += [
        {"box": boxes.in_grid(box, boxes.Grid.of(example.meta)), "score": 0.5} for box in golds
    ]
    mixed = order.sample(said, len(said))
    paid = [
        detection.TASK.rewards_of(
            attempt(detection.TASK, example, "direct", json.dumps(one)), rules
        )
        for rules in ("strict", "paper")
        for one in (said, mixed)
    ]
    assert paid[0] == pytest.approx(paid[1])
    assert paid[0][detection.TASK.headline] <= 1


@pytest.mark.parametrize(
    "unit", ["<answer>", "</answer>", "<think>", "[", "(1,2),", "</think> ", "a "]
)
@every_case
def test_every_rule_is_quick_on_64_kilobytes(task: Task, example: Example, unit: str) -> None:
    for text in (
        (unit * 65536)[:65536],
        f"<think>a</think><answer>{(unit * 65536)[:65000]}</answer>",
    ):
        assert_effort(150, score_both_ways, task, example, text)


def score_both_ways(task: Task, example: Example, text: str) -> None:
    reply = attempt(task, example, "think", text)
    task.rewards_of(reply)
    task.rewards_of(reply, "paper")


@given(
    shift=st.integers(0, 190), more=st.integers(0, 9), sure=st.sampled_from([0.0, 0.3, 0.7, 1.0])
)
def test_detection_pays_more_for_a_closer_box(shift: int, more: int, sure: float) -> None:
    example = replace(detection.TASK.sample, gold=boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4)]))

    def paid(x: int) -> float:
        answer = f"[{{'box': [{x}, 200, {x + 200}, 400], 'score': {sure}}}]"
        return headline(detection.TASK, example, "direct", answer)

    assert paid(100 + shift) >= paid(100 + shift + more)
    assert headline(grounding.TASK, example, "direct", f"({100 + shift},200),(300,400)") == (
        pytest.approx(1 - shift / 200)
    )


def test_confidence_credits_hits_and_discounts_misses() -> None:
    def paid(answer: str) -> float:
        reply = attempt(detection.TASK, detection.TASK.sample, "direct", answer)
        return detection.confidence(reply)

    hit, miss = "{'box': [100, 200, 300, 400], 'score': 0.8}", "{'box': [0, 0, 9, 9], 'score': 0.3}"
    assert paid(f"[{hit}]") == pytest.approx(0.8)
    assert paid(f"[{hit}, {miss}]") == pytest.approx(0.75)
    assert paid(f"[{miss}]") == 0
    assert paid("[]") == 0


def test_a_reply_that_was_cut_off_has_no_format() -> None:
    task, sample = classification.TASK, classification.TASK.sample
    for finished in (True, False):
        completion = Completion(task.ideal(sample, "think"), finished=finished)
        assert task.rewards_of(task.attempt(sample, "think", completion))["format"] == finished


def test_a_listed_label_is_asked_for_as_it_stands() -> None:
    assert headline(classification.TASK, classification.TASK.sample, "direct", "a red rose") == 0
    assert headline(classification.TASK, OPEN, "direct", "a Boeing 737-300") == 1


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>\ncat\n</answer> <answer>dog</answer>", "dog"),
        ("<answer>cat</answer><answer>dog</answer>", "cat"),
        ("<answer>a <answer>cat</answer>", "a <answer>cat"),
        ("</answer><answer>", None),
        ("<ANSWER>cat</ANSWER>", None),
    ],
)
def test_the_papers_take_the_first_block_on_one_line(text: str, answer: str | None) -> None:
    assert paper_answer(text) == answer


def test_the_papers_drop_duplicates_and_match_the_surest_box_first() -> None:
    example = replace(detection.TASK.sample, gold=boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4)]))
    exact = "{'Position': [100, 200, 300, 400], 'Confidence': 0.5}"
    near = "{'Position': [100, 210, 300, 330], 'Confidence': 0.9}"
    for answer, iou in ((f"[{exact}, {exact}]", 1.0), (f"[{exact}, {near}]", 0.3)):
        assert detection_paper.iou(attempt(detection.TASK, example, "direct", answer)) == (
            pytest.approx(iou)
        )


def test_the_continuous_form_pays_for_any_overlap() -> None:
    example = replace(detection.TASK.sample, gold=boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4)]))
    reply = attempt(detection.TASK, example, "direct", "[[100, 200, 140, 400]]")
    assert detection.mean_iou(reply) == 0
    assert detection.mean_iou(reply, threshold=0) == pytest.approx(0.2)


def read(task: Task, values: dict[str, object], **how: object) -> tuple[Example, ...]:
    options = task.options.model_validate(how.pop("options", {}))
    return task.read(Row("a.json:1", NoImage(), values), Reading(options, **how))  # type: ignore[arg-type]


def test_rows_of_boxes_become_exact_fractions() -> None:
    values = {"boxes": [[64, 96, 192, 192]], "grid": "640x480", "label": "cat"}
    (example,) = read(detection.TASK, values)
    assert boxes.load_boxes(example.gold) == [Box(0.1, 0.2, 0.3, 0.4)]
    assert "cat" in example.question
    assert detection.written(example) == '[{"Position": [64, 96, 192, 192], "Confidence": 1}]'
    (one,) = read(grounding.TASK, {"box": [100, 200, 300, 400]})
    assert grounding.written(one) == "(100,200),(300,400)"


@pytest.mark.parametrize(
    "value", [None, "rose", {"box": [1, 2, 3, 4]}, [1, 2, 3, 4], [[3, 2, 1, 4]]]
)
def test_a_row_without_boxes_is_refused_by_place(value: object) -> None:
    with pytest.raises(DataError, match=r"^a.json:1: gold "):
        read(detection.TASK, {"boxes": value})


CAT, DOG = Box(0.1, 0.1, 0.2, 0.2), Box(0.5, 0.5, 0.9, 0.9)
ANNOTATED: dict[str, object] = {
    "objects": (
        boxes.LabelledBox("cat", CAT),
        boxes.LabelledBox("dog", DOG),
        boxes.LabelledBox("dog", CAT, crowd=True),
    ),
    "categories": ("bird", "cat", "dog"),
    "size": "640x480",
    "frequency": {"cat": "r"},
    "not_exhaustive": ("dog",),
}


def asked(examples: tuple[Example, ...]) -> list[str]:
    return [example.category for example in examples]


def test_detection_asks_for_each_category_and_for_absent_ones_when_told() -> None:
    present = read(detection.TASK, ANNOTATED)
    assert asked(present) == ["cat", "dog"]
    assert [example.id for example in present] == ["sample: cat", "sample: dog"]
    assert boxes.load_boxes(present[1].gold) == [DOG]
    assert boxes.load_boxes(present[1].meta["crowd"]) == [CAT]
    assert (present[0].meta["frequency"], present[1].meta["not_exhaustive"]) == ("r", "yes")
    assert asked(read(detection.TASK, ANNOTATED, test=True)) == ["bird", "cat", "dog"]
    never = {"absent": "never"}
    assert asked(read(detection.TASK, ANNOTATED, test=True, options=never)) == ["cat", "dog"]
    chosen = {"categories": ["dog", "bird"], "absent": "always"}
    assert asked(read(detection.TASK, ANNOTATED, options=chosen)) == ["bird", "dog"]
    assert asked(read(detection.TASK, ANNOTATED, options={"categories": "coco-8"})) == [
        "cat",
        "dog",
    ]


def test_detection_asks_for_all_categories_at_once() -> None:
    (example,) = read(detection.TASK, ANNOTATED, options={"ask": "picture"})
    assert example.choices == ("bird", "cat", "dog")
    assert boxes.load_box_labels(example.gold) == ["cat", "dog"]
    right = (
        '[{"label": "Cat", "box": [100,100,200,200]}, {"label": "dog", "box": [500,500,900,900]}]'
    )
    swapped = right.replace("Cat", "x").replace("dog", "Cat").replace("x", "dog")
    for answer, paid in ((right, 1.0), (swapped, 0.0)):
        reply = attempt(detection.TASK, example, "direct", answer)
        assert detection.mean_iou(reply) == detection.f1(reply) == pytest.approx(paid)
        assert detection.map_length(reply) == pytest.approx(paid)


def test_an_unknown_list_of_categories_is_refused() -> None:
    with pytest.raises(DataError, match="no list 'coco-9'; known: coco-80"):
        chosen_categories("coco-9")
    assert chosen_categories("coco-8") == chosen_categories("COCO-8")
    assert chosen_categories(("cat", "dog")) == ("cat", "dog")


def test_the_threshold_of_boxes_follows_the_run() -> None:
    options = DetectionOptions(threshold=(0.3, 0.7))
    example = replace(detection.TASK.sample, gold=boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4)]))
    reply = attempt(detection.TASK, example, "direct", "[[100, 200, 200, 400]]")  # IoU 0.5
    paid = [
        detection.TASK.training_rewards("strict", options, share)["iou"](reply)
        for share in (0.0, 0.5, 0.51, 1.0)
    ]
    assert paid == [pytest.approx(0.5), pytest.approx(0.5), 0, 0]
    one = attempt(grounding.TASK, example, "direct", "(100,200),(200,400)")
    for least, expected in ((0.0, 0.5), (0.6, 0.0)):
        rewards_then = grounding.TASK.training_rewards(
            "strict", GroundingOptions(threshold=least), 0.0
        )
        assert rewards_then["iou"](one) == pytest.approx(expected)


QUESTION: dict[str, object] = {
    "question": "Where is the dog?",
    "options": ["left", "right", "on the roof"],
    "answer": "(B)",
}


def test_options_are_shuffled_by_the_seed_and_rotated_when_tested_so() -> None:
    (first,) = read(choice.TASK, QUESTION)
    assert first.gold == "right"
    assert {*first.choices} == {"left", "right", "on the roof"}
    orders = {read(choice.TASK, QUESTION, seed=seed)[0].choices for seed in range(20)}
    assert len(orders) > 3
    assert read(choice.TASK, QUESTION)[0].choices == first.choices
    (kept,) = read(choice.TASK, QUESTION, options={"shuffle": False})
    assert kept.choices == ("left", "right", "on the roof")
    assert choice.written(kept) == "B"
    turns = read(choice.TASK, QUESTION, test=True, options={"circular": True})
    assert len({example.id for example in turns}) == 3
    assert sorted(choice.written(example) for example in turns) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        *[("B", "right"), ("b", "right"), ("(B)", "right"), ("B.", "right"), ("B) right", "right")],
        *[("Right", "right"), ("B. left", None), ("E", None), ("The answer is (B)", None)],
        *[("right or left", None), ("A B", None), ("", None), ("on", None)],
    ],
)
def test_an_option_is_named_by_letter_or_by_text(answer: str, named: str | None) -> None:
    (example,) = read(choice.TASK, QUESTION, options={"shuffle": False})
    assert choice.answered(attempt(choice.TASK, example, "direct", answer)) == named


def test_names_with_commas_are_told_apart_in_prompts() -> None:
    names = ("a, b", "c")
    asked = replace(classification.TASK.sample, choices=names)
    assert "\nChoose one of: a, b; c.\n" in classification.TASK.prompt(asked, "think")
    asked = replace(detection.TASK.sample, choices=names)
    assert "\nObjects to find: a, b; c.\n" in detection.TASK.prompt(asked, "think")


def test_options_that_are_letters_not_in_use_are_options_like_others() -> None:
    values = {"question": "Which variable is drawn?", "options": ["x", "y"], "answer": "y"}
    (example,) = read(choice.TASK, values, options={"shuffle": False})
    assert (example.choices, example.gold, choice.written(example)) == (("x", "y"), "y", "B")
    for answer, named in {"x": "x", "(Y)": "y", "B": "y", "z": None}.items():
        assert choice.answered(attempt(choice.TASK, example, "direct", answer)) == named
    assert len(read(choice.TASK, values, test=True, options={"circular": True})) == 2


def test_options_may_stand_in_columns_or_in_the_question() -> None:
    lettered = {"question": "Which?", "A": "left", "B": "right", "answer": "right"}
    inside = {"question": "Which?\nA. left\n(B) right\nAnswer with a letter.", "answer": "B"}
    for values in (lettered, inside):
        (example,) = read(choice.TASK, values, options={"shuffle": False})
        assert (example.question, example.choices) == ("Which?", ("left", "right"))
        assert example.gold == "right"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": "E"}, "answer 'E' does not name one of the 3 options"),
        ({"options": ["left"]}, "are not a list of 2"),
        ({"options": "left"}, "are not a list"),
        ({"options": ["left", "Left", "x"]}, "read the same"),
        ({"options": ["left", "left", "x"]}, "are the same"),
        ({"options": ["B", "A", "C"]}, "is a letter, but not its own"),
        ({"options": ["x", "y", "b"], "answer": "x"}, "option 'b' is a letter, but not its own"),
        ({"question": "a <answer> b"}, "holds a tag"),
        ({"options": ["left", {"a": 1}]}, "option {'a': 1} is not a text or a number"),
        ({"options": ["left", float("nan")]}, "option nan is not a text or a number"),
        ({"options": '["left", "\\ud800"]'}, r"option '\ud800' holds a control character"),
        ({"options": "__import__('os').getcwd()"}, "are not a list"),
        ({"options": "(" * 5000}, "are not a list"),
        ({"question": ["a"]}, "question ['a'] is not a text or a number"),
    ],
)
def test_a_bad_question_is_refused_by_place(change: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=rf"^a.json:1: .*{re.escape(said)}"):
        read(choice.TASK, {**QUESTION, **change})


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ('["left", "right"]', ("left", "right")),
        (r"""('left\'s', 'ri\xe9ght\n', "on")""", ("left's", "riéght", "on")),
        ("[1, 2.50, 3e5, 007]", ("1", "2.50", "3e5", "007")),
        ("[True, 1.]", ("True", "1.")),
    ],
)
def test_a_cell_of_options_is_a_list_as_json_or_python_writes_it(
    cell: str, options: tuple[str, ...]
) -> None:
    values = {**QUESTION, "options": cell, "answer": "A"}
    assert read(choice.TASK, values, options={"shuffle": False})[0].choices == options


def test_circular_asks_once_in_training() -> None:
    assert len(read(choice.TASK, QUESTION, options={"circular": True})) == 1
    assert ChoiceOptions().shuffle


@pytest.mark.parametrize(
    ("answer", "tolerance", "paid"),
    [
        *[("12", 0, 1), ("12.0", 0, 1), ("twelve", 0, 1), ("12.", 0, 1), (" 12 ", 0, 1)],
        *[("13", 0, 0), ("13", 1, 1), ("-12", 0, 0), ("1,2", 0, 0), ("12 or 13", 0, 0)],
        *[("1e1", 5, 0), ("nan", 5, 0), ("1200000000000000000000", 0, 0), ("\u0661\u0662", 0, 1)],
    ],
)
def test_a_number_is_right_within_the_tolerance(answer: str, tolerance: float, paid: float) -> None:
    reply = attempt(number.TASK, number.TASK.sample, "direct", answer)
    options = NumberOptions(tolerance=float(tolerance))
    assert number.TASK.training_rewards("strict", options, 0.0)["accuracy"](reply) == paid


@pytest.mark.parametrize(
    ("value", "gold"), [(3, "3"), ("3", "3"), (2.50, "2.5"), ("three", "3"), ("1,200", "1200")]
)
def test_gold_numbers_are_spelled_in_digits(value: object, gold: str) -> None:
    (example,) = read(number.TASK, {"question": "How many?", "answer": value})
    assert example.gold == gold


@pytest.mark.parametrize("value", [None, "many", True, ""])
def test_a_row_without_a_number_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"^a.json:1: answer .* is not a number"):
        read(number.TASK, {"answer": value})


def test_a_near_count_earns_part_of_the_close_reward() -> None:
    assert number.close(attempt(number.TASK, number.TASK.sample, "direct", "9")) == 0.75
    assert number.close(attempt(number.TASK, number.TASK.sample, "direct", "99")) == 0
