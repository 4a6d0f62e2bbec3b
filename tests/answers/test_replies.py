"""What a model wrote, read back in the style it was asked for."""

from __future__ import annotations

from typing import get_args

import pytest
from effort import assert_effort
from hypothesis import given
from hypothesis import strategies as st

from rftkit.answers import replies
from rftkit.core import Completion, Style

STYLES: tuple[Style, ...] = get_args(Style)
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<reason>", "</reason>")
texts = st.lists(st.one_of(st.sampled_from([*TAGS, "cat", " ", "\n"]), st.text(max_size=5)))
words = st.text(st.characters(blacklist_characters="<>", blacklist_categories=("Cs",)), min_size=1)


@pytest.mark.parametrize(
    ("text", "answer", "shaped"),
    [
        ("<think>two ears</think><answer>cat</answer>", "cat", True),
        (" <THINK>two ears</THINK>\n\n<Answer>\ncat\n</ANSWER>\n", "cat", True),
        ("<answer>cat</answer>", "cat", False),
        ("<think>a</think><answer>cat</answer> or a dog", "cat", False),
        ("well, <think>a</think><answer>cat</answer>", "cat", False),
        ("two ears</think><answer>cat</answer>", "cat", False),
        ("<think> ... </think><answer>cat</answer>", "cat", False),
        ("<think></think><answer>cat</answer>", "cat", False),
        ("<think>a</think><answer> </answer>", None, False),
        ("<think>a</think><answer>cat</answer><answer>dog</answer>", None, False),
        ("<think>a</think><answer>cat<answer>dog</answer>", None, False),
        ("<think>a</think><answer>cat", None, False),
        ("<think>a</think></answer>cat<answer>", None, False),
        ("<think>a</think>cat", None, False),
        ("<think>a <answer>cat</answer></think>", None, False),
        ("<think>a <answer>cat</answer>", None, False),
        ("<think>a</think><reason>b <answer>cat</answer></reason>", None, False),
        ("<think>a</think><answer>cat <think>b</think></answer>", None, False),
        ("cat", None, False),
        ("", None, False),
    ],
)
def test_a_think_reply_has_one_answer_outside_its_thought(
    text: str, answer: str | None, shaped: bool
) -> None:
    assert replies.read(Completion(text), "think").answer == answer
    assert replies.well_formed(text, "think") is shaped


@pytest.mark.parametrize(
    ("text", "style", "shaped"),
    [
        ("cat", "direct", True),
        (" ", "direct", False),
        ("<answer>cat</answer>", "direct", False),
        ("<answer>cat</answer>\n<reason>two ears</reason>", "answer-first", True),
        ("<answer>cat</answer>", "answer-first", False),
        ("<answer>cat</answer><reason>...</reason>", "answer-first", False),
        ("<think>a</think><answer>cat</answer>", "answer-first", False),
        ("<answer>cat</answer>", "adaptive", True),
        ("<think>a</think><answer>cat</answer>", "adaptive", True),
        ("<answer></answer>", "adaptive", False),
        ("<answer>cat</answer> yes", "adaptive", False),
        ("<think>\n\n</think>\n<answer>cat</answer>", "empty-think", True),
    ],
)
def test_each_style_has_its_shape(text: str, style: Style, shaped: bool) -> None:
    assert replies.well_formed(text, style) is shaped


@pytest.mark.parametrize(
    ("text", "finished", "problem"),
    [
        ("<think>a</think>", True, "no answer"),
        ("<think>a</think><answer></answer>", True, "no answer"),
        ("<think>a", False, "truncated"),
        ("<think>a</think><answer>ca", False, "truncated"),
        ("<think>a</think><answer>ca", True, "unparseable"),
        ("<answer>a</answer><answer>b</answer>", True, "several answers"),
        ("<think>a</think><answer>cat</answer>", True, None),
    ],
)
def test_a_reply_without_answer_says_why(text: str, finished: bool, problem: str | None) -> None:
    assert replies.read(Completion(text, finished=finished), "think").problem == problem


def test_a_direct_reply_is_its_text_unless_it_was_cut_off() -> None:
    assert replies.read(Completion(" cat\n"), "direct").answer == "cat"
    assert replies.read(Completion(" "), "direct").problem == "no answer"
    assert replies.read(Completion("cat", finished=False), "direct").answer is None


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("<think> two ears </think><answer>cat</answer>", "two ears"),
        ("<think>two ears", "two ears"),
        ("<answer>cat</answer><reason>two ears</reason>", "two ears"),
        ("<think>a</think><think>b</think>", "b"),
        ("<think></think><answer>cat</answer>", None),
        ("cat", None),
    ],
)
def test_the_reasoning_is_the_last_thought_or_reason(text: str, reasoning: str | None) -> None:
    assert replies.read(Completion(text), "think").reasoning == reasoning


@given(answer=words, reasoning=st.none() | words, style=st.sampled_from(STYLES))
def test_what_is_rendered_reads_back(answer: str, reasoning: str | None, style: Style) -> None:
    reply = replies.read(Completion(replies.render(answer, reasoning, style)), style)
    assert reply.answer == (answer.strip() or None)
    if style != "direct":
        assert reply.reasoning == ((reasoning or "").strip() or None)


@given(parts=texts, style=st.sampled_from(STYLES), finished=st.booleans())
def test_reading_never_raises_and_never_answers_with_nothing(
    parts: list[str], style: Style, finished: bool
) -> None:
    text = "".join(parts)
    reply = replies.read(Completion(text, finished=finished), style)
    assert (reply.answer is None) == (reply.problem is not None)
    assert reply.answer != ""
    if replies.well_formed(text, style) and finished:
        assert reply.answer is not None


@pytest.mark.parametrize("unit", [*TAGS, "<", "</", "<answer></answer>", "<think></think>", "a "])
def test_64_kilobytes_are_read_in_linear_time(unit: str) -> None:
    text = unit * (65536 // len(unit))
    assert_effort(35, replies.read, Completion(text), "think")
