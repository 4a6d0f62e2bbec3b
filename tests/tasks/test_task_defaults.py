"""A task that says only what every task must say: what the other fields stand for then."""

from __future__ import annotations

from rftkit.core import Attempt, Completion, Example, NoImage, Row, Style
from rftkit.rewards.general import format_reward
from rftkit.tasks.options import Options
from rftkit.tasks.reading import Reading
from rftkit.tasks.task import Task

QUESTION = "Which way does the arrow point, in degrees?"


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    return (Example("a", row.image, QUESTION, reading.text(row, "answer"), location=row.location),)


def prompt(example: Example, style: Style) -> str:
    return example.question


def parsed(attempt: Attempt) -> str | None:
    return attempt.reply.answer


def near(attempt: Attempt) -> float:
    return float(parsed(attempt) == attempt.example.gold)


BARE = Task(
    name="arrow",
    headline="near",
    read=read,
    prompt=prompt,
    rewards={"near": near, "format": format_reward},
    parsed=parsed,
    sample=Example("sample", NoImage(), QUESTION, "270"),
)


def attempt(text: str) -> Attempt:
    return BARE.attempt(BARE.sample, "direct", Completion(text))


def test_a_task_weighs_its_headline_and_the_format() -> None:
    assert BARE.default_weights == {"near": 1.0, "format": 1.0}


def test_a_task_of_no_paper_has_no_paper_rewards() -> None:
    assert BARE.rewards_of(attempt("270"), "paper") == {}
    assert BARE.rewards_of(attempt("270")) == {"near": 1.0}


def test_a_task_without_wrong_answers_offers_none() -> None:
    assert BARE.wrong(BARE.sample) == []
    assert BARE.probes(BARE.sample) == {}


def test_a_task_without_options_pays_the_same_all_along() -> None:
    for progress in (0.0, 1.0):
        paid = BARE.training_rewards("strict", Options(), progress)
        assert (paid["near"](attempt("270")), paid["near"](attempt("90"))) == (1.0, 0.0)
