"""A batch is read at once, and each image keeps its own answer."""

from __future__ import annotations

import fakes
import pytest

from rftkit.core import Completion
from rftkit.inference.question import prompts
from rftkit.inference.reader import Reader
from rftkit.tasks.question import Question

LABELS = ("rose", "tulip", "oak")


def read(names: tuple[str, ...], *, free: bool = False) -> tuple[list[object], fakes.FakePolicy]:
    """The predictions for images, each answered by its name."""
    policy = fakes.FakePolicy(lambda name, tuned: Completion(name, 1))
    recipe = fakes.recipe(style="direct")
    (example_of,) = prompts(recipe, LABELS, Question())
    reader = Reader(policy, recipe, free=free)  # type: ignore[arg-type]
    return [*reader.predict([example_of(fakes.BlankImage(name)) for name in names])], policy


def test_each_image_of_a_batch_gets_the_probabilities_of_its_own_list() -> None:
    found, policy = read(("oak", "rose", "tulip", "oak"))
    assert [one.by_list.label for one in found] == ["oak", "rose", "tulip", "oak"]  # type: ignore[attr-defined]
    assert [one.answer for one in found] == ["oak", "rose", "tulip", "oak"]  # type: ignore[attr-defined]
    assert len(policy.scored) == 4 * len(LABELS)


def test_a_free_answer_asks_for_no_probabilities() -> None:
    found, policy = read(("oak", "rose"), free=True)
    assert [one.by_list for one in found] == [None, None]  # type: ignore[attr-defined]
    assert policy.scored == []


@pytest.mark.parametrize("names", [(), ("rose",)])
def test_a_batch_may_be_empty_or_one(names: tuple[str, ...]) -> None:
    assert len(read(names)[0]) == len(names)
