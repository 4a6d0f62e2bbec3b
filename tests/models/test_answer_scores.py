"""Lists are scored by the faster way once it gave what the slower one gives, and never after it."""

from __future__ import annotations

from collections.abc import Sequence

import fakes
import pytest
import torch
from torch import Tensor

from rftkit.models.answer_scores import AnswerScores
from rftkit.models.policy import Prompt

PROMPT = Prompt(fakes.BlankImage("a"), "what?")
ANSWERS = [torch.tensor(ids) for ids in ([5], [6, 7], [8], [9, 9, 9])]


class Model:
    """Answers have log-probabilities of minus the sum of their tokens; counts what computes them.

    off: what the shared way is wrong by. failing: raised by it. noise: what a batch of more than
    one row differs from its rows alone.
    """

    def __init__(
        self,
        off: float = 0.0,
        failing: Exception | None = None,
        plain_fails: Exception | None = None,
        noise: float = 0.0,
    ) -> None:
        self.off, self.failing, self.plain_fails, self.noise = off, failing, plain_fails, noise
        self.rows: dict[bool, list[int]] = {True: [], False: []}

    def __call__(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Sequence[Tensor]],
        shared: bool = True,
    ) -> list[Tensor]:
        self.rows[shared].append(len(answers))
        if error := self.failing if shared else self.plain_fails:
            raise error
        more = self.off if shared else self.noise * (len(answers) > 1)
        return [torch.tensor([more - float(ids.sum()) for ids in row]) for row in answers]


def scores(model: Model) -> tuple[AnswerScores, list[str]]:
    given_up = list[str]()
    return AnswerScores(model, lambda why: given_up.append(str(why)), half=False), given_up


def test_the_faster_way_is_compared_once() -> None:
    model = Model()
    faster, given_up = scores(model)
    for _ in range(2):
        assert faster.shared([PROMPT] * 2, [[], ANSWERS]) == [[], [-5, -13, -8, -27]]
    assert model.rows[False] == [3, 1, 1, 1]  # the first three answers: together, and alone
    assert model.rows[True] == [1, 2, 2]
    assert not given_up


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (Model(off=0.01), "log-probabilities differ by 8e-03 nats a token"),
        (Model(off=float("nan")), "log-probabilities differ by nan nats a token"),
        (Model(failing=RuntimeError("shapes")), "shapes"),
    ],
)
def test_another_result_leaves_the_faster_way(model: Model, line: str) -> None:
    faster, given_up = scores(model)
    assert faster.shared([PROMPT], [ANSWERS]) is None
    assert given_up == [line]


def test_what_rounding_explains_does_not() -> None:
    """The slower way differs from itself as much: 8 of 1,000 nats a token."""
    faster, given_up = scores(Model(off=0.01, noise=0.01))
    assert faster.shared([PROMPT], [ANSWERS])
    assert not given_up


def test_a_slower_way_that_does_not_fit_proves_nothing() -> None:
    model = Model(plain_fails=torch.OutOfMemoryError("CUDA out of memory"))
    faster, given_up = scores(model)
    assert faster.shared([PROMPT], [ANSWERS]) == [[-5, -13, -8, -27]]
    assert not given_up


def test_memory_that_ends_is_not_taken_for_a_fault() -> None:
    model = Model(failing=torch.OutOfMemoryError("CUDA out of memory"))
    faster, given_up = scores(model)
    with pytest.raises(torch.OutOfMemoryError):
        faster.shared([PROMPT], [ANSWERS])
    assert not given_up


def test_the_slower_way_takes_some_rows_at_a_time() -> None:
    model = Model()
    faster, _ = scores(model)
    answers = [[*ANSWERS, *ANSWERS], ANSWERS[:1]]
    expected = [[-5, -13, -8, -27] * 2, [-5]]
    assert faster.plain([PROMPT] * 2, answers) == expected
    assert model.rows[False] == [8, 1]
