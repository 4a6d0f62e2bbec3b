"""Which replies become rationales, which one of several, and how batches are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import fakes
import pytest

from rftkit.core import Completion, Example
from rftkit.models.policy import Decoding, Generation
from rftkit.rationales.sampling import Sampling, Thought, chosen, right_thought, sample
from rftkit.tasks import get_task

TASK = get_task("classification")
RIGHT = "<think>a loop</think>\n<answer>6</answer>"


def example(name: str = "a", gold: str = "6") -> Example:
    return Example(name, fakes.BlankImage(name), "Which digit?", gold, ("6", "8"), category=gold)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (RIGHT, "a loop"),
        ("<think> a loop\n</think>\n<answer> 6 </answer>", "a loop"),
        ("<think>a loop</think>\n<answer>8</answer>", None),
        ("<answer>6</answer>", None),  # right, but no reasoning
        ("<think>...</think>\n<answer>6</answer>", None),  # no word
        (RIGHT + " it is", None),  # right, but not in the format
        ("<think>a\0loop</think>\n<answer>6</answer>", None),  # no table can hold it
    ],
)
def test_a_right_reply_in_the_right_format_gives_its_reasoning(text: str, kept: str | None) -> None:
    found = right_thought(TASK, example(), "think", Completion(text, 9))
    assert found == (Thought(kept, 9) if kept else None)


def test_a_truncated_reply_gives_nothing() -> None:
    cut = Completion(RIGHT, 9, finished=False)
    assert right_thought(TASK, example(), "think", cut) is None


def test_the_reason_of_answer_first_is_a_rationale_too() -> None:
    reply = Completion("<answer>6</answer>\n<reason>a loop</reason>", 9)
    assert right_thought(TASK, example(), "answer-first", reply) == Thought("a loop", 9)


def test_one_is_chosen_by_its_length_or_its_place() -> None:
    right = [Thought("long", 9), Thought("short", 2), Thought("middle", 5), Thought("fair", 6)]
    assert chosen(right, "median") == "middle"
    assert chosen(right, "shortest") == "short"
    assert chosen(right, "first") == "long"
    assert chosen([Thought("x", 3), Thought("y", 3), Thought("z", 3)], "median") == "y"
    assert chosen([], "median") is None


@dataclass
class Seeded(fakes.FakePolicy):
    """Remembers how it was asked."""

    decodings: list[Decoding] = field(default_factory=list)

    def generate(self, prompts, decoding: Decoding) -> Generation:  # type: ignore[no-untyped-def]
        self.decodings.append(decoding)
        assert not self.tuned, "the base model is asked"
        return super().generate(prompts, decoding)


def test_batches_are_drawn_alike_whether_some_are_done() -> None:
    sampling = Sampling("classification", "think", 2, 0.7, 32, seed=5, at_once=4)
    examples = [example(name) for name in "abcde"]

    def answer(name: str, tuned: bool) -> Completion:
        return Completion(RIGHT if name != "b" else "no", 8)

    whole, rest = Seeded(answer), Seeded(answer)
    batches = [*sample(whole, examples, sampling)]
    assert [[one.id for one in batch] for batch in batches] == [["a", "b"], ["c", "d"], ["e"]]
    assert [len(one.right) for batch in batches for one in batch] == [2, 0, 2, 2, 2]
    assert [name for name, _ in whole.asked] == list("aabbccddee")
    assert [*sample(rest, examples, sampling, done=1)] == batches[1:]
    assert rest.decodings == whole.decodings[1:]
    assert len({decoding.seed for decoding in whole.decodings}) == 3
    assert {(d.temperature, d.max_new_tokens) for d in whole.decodings} == {(0.7, 32)}
