"""What every task owes: gold earns full marks in every style, hacks built from it earn none."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rftkit import boxes, replies, rewards
from rftkit.boxes import Box
from rftkit.core import Attempt, Completion, Example, Row, Style
from rftkit.errors import DataError
from rftkit.tasks import TASKS, TRAINABLE, by_name, classification, detection, grounding
from rftkit.tasks.task import Task, Unseen

STYLES: tuple[Style, ...] = get_args(Style)
OPEN = replace(
    classification.TASK.sample, gold="737-300", choices=(), labels=("737", "737-300", "DC-10")
)
PIXELS = replace(detection.TASK.sample, meta={"grid": "640x480"})
NONE_THERE = replace(detection.TASK.sample, gold="[]")
CASES = [(task, task.sample) for task in TASKS]
CASES += [(classification.TASK, OPEN), (detection.TASK, PIXELS), (detection.TASK, NONE_THERE)]
WHOLE_PICTURE = Box(0, 0, 1, 1)

every_case = pytest.mark.parametrize(
    ("task", "example"),
    CASES,
    ids=[*(task.name for task in TASKS), "open", "pixels", "nothing there"],
)
every_style = pytest.mark.parametrize("style", STYLES)


def attempt(task: Task, example: Example, style: Style, text: str) -> Attempt:
    return task.attempt(example, style, Completion(text))


def headline(task: Task, example: Example, style: Style, text: str) -> float:
    return task.parts(attempt(task, example, style, text))[task.headline]


def other_answers(task: Task, example: Example) -> list[str]:
    """Wrong answers of the right kind, written as the model would."""
    if task.name == "classification":
        return [label for label in example.choices or example.labels if label != example.gold]
    grid = boxes.Grid.of(example.meta)
    if task.name == "grounding":
        return [boxes.write_box(WHOLE_PICTURE, grid)]
    return [boxes.write_boxes([WHOLE_PICTURE], grid)]


def test_a_recipe_trains_a_task_that_exists() -> None:
    assert {*TRAINABLE} <= {task.name for task in TASKS}
    assert all(by_name(task.name) is task for task in TASKS)


@every_case
@every_style
def test_gold_earns_full_marks_in_every_style(task: Task, example: Example, style: Style) -> None:
    parts = task.parts(attempt(task, example, style, task.ideal(example, style)))
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
    answers = [task.written(example), *other_answers(task, example)]
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
    for other in other_answers(task, example):
        for text in (ideal + "\n" + other, other + "\n" + ideal):
            if style == "direct":
                assert headline(task, example, style, text) == 0
            else:
                assert task.parts(attempt(task, example, style, text))["format"] == 0
        second = replies.render(other, None, style)
        assert headline(task, example, style, f"{ideal}\n{second}") == 0


@every_style
@pytest.mark.parametrize("example", [detection.TASK.sample, PIXELS, NONE_THERE])
def test_gold_with_a_box_around_everything_loses(example: Example, style: Style) -> None:
    gold = boxes.load(example.gold)
    more = boxes.write_boxes([*gold, WHOLE_PICTURE], boxes.Grid.of(example.meta))
    text = replies.render(more, "boxes", style)
    assert headline(detection.TASK, example, style, text) == pytest.approx(
        len(gold) / (len(gold) + 1)
    )


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
    assert task.parts(task.attempt(example, "direct", completion))[task.headline] == 0


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
    return [*tags, gold, gold[: len(gold) // 2], *other_answers(task, example), "a", " ", ", ", "["]


@every_case
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_text_earns_more_than_gold(task: Task, example: Example, data: st.DataObject) -> None:
    piece = st.one_of(st.sampled_from(fragments(task, example)), st.text(max_size=4))
    text = "".join(data.draw(st.lists(piece, max_size=12)))
    for style in STYLES:
        reply = attempt(task, example, style, text)
        parts = task.parts(reply)
        assert all(math.isfinite(part) and 0 <= part <= 1 for part in parts.values())
        assert all(math.isfinite(part) for part in task.parts(reply, "paper").values())
        if task.headline in parts and parts[task.headline] > 0:
            assert task.parsed(reply) is not None


@pytest.mark.parametrize(
    "unit", ["<answer>", "</answer>", "<think>", "[", "(1,2),", "</think> ", "a "]
)
@every_case
def test_every_rule_is_quick_on_64_kilobytes(task: Task, example: Example, unit: str) -> None:
    for text in (
        (unit * 65536)[:65536],
        f"<think>a</think><answer>{(unit * 65536)[:65000]}</answer>",
    ):
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            reply = attempt(task, example, "think", text)
            task.parts(reply)
            task.parts(reply, "paper")
            seconds.append(time.perf_counter() - began)
        assert min(seconds) < 0.15


@given(
    shift=st.integers(0, 190), more=st.integers(0, 9), sure=st.sampled_from([0.0, 0.3, 0.7, 1.0])
)
def test_detection_pays_more_for_a_closer_box(shift: int, more: int, sure: float) -> None:
    example = replace(detection.TASK.sample, gold=boxes.dump([Box(0.1, 0.2, 0.3, 0.4)]))

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
        assert task.parts(task.attempt(sample, "think", completion))["format"] == finished


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
    assert rewards.paper_answer(text) == answer


def test_the_papers_drop_duplicates_and_match_the_surest_box_first() -> None:
    example = replace(detection.TASK.sample, gold=boxes.dump([Box(0.1, 0.2, 0.3, 0.4)]))
    exact = "{'Position': [100, 200, 300, 400], 'Confidence': 0.5}"
    near = "{'Position': [100, 210, 300, 330], 'Confidence': 0.9}"
    for answer, iou in ((f"[{exact}, {exact}]", 1.0), (f"[{exact}, {near}]", 0.3)):
        assert detection.paper_iou(attempt(detection.TASK, example, "direct", answer)) == (
            pytest.approx(iou)
        )


def test_the_continuous_form_pays_for_any_overlap() -> None:
    example = replace(detection.TASK.sample, gold=boxes.dump([Box(0.1, 0.2, 0.3, 0.4)]))
    reply = attempt(detection.TASK, example, "direct", "[[100, 200, 140, 400]]")
    assert detection.mean_iou(reply) == 0
    assert detection.mean_iou(reply, threshold=0) == pytest.approx(0.2)


def test_rows_of_boxes_become_exact_fractions() -> None:
    values = {"boxes": [[64, 96, 192, 192]], "grid": "640x480", "label": "cat"}
    example = detection.read(Row("a.json:1", Unseen(), values), {})
    assert boxes.load(example.gold) == [Box(0.1, 0.2, 0.3, 0.4)]
    assert "cat" in example.question
    assert detection.written(example) == '[{"Position": [64, 96, 192, 192], "Confidence": 1}]'
    one = grounding.read(Row("a.json:1", Unseen(), {"box": [100, 200, 300, 400]}), {})
    assert grounding.written(one) == "(100,200),(300,400)"


@pytest.mark.parametrize(
    "value", [None, "rose", {"box": [1, 2, 3, 4]}, [1, 2, 3, 4], [[3, 2, 1, 4]]]
)
def test_a_row_without_boxes_is_refused_by_place(value: object) -> None:
    with pytest.raises(DataError, match=r"^a.json:1: gold "):
        detection.read(Row("a.json:1", Unseen(), {"boxes": value}), {})
