"""How a difference between a fast path and its twin is measured and judged."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rftkit.shared_prefix.difference import Difference
from rftkit.training.paths.choice import Paths, without_unchecked_copy
from rftkit.training.paths.first_step import FirstStep, _by_engine, _Written
from rftkit.training.paths.twin import PathRefused


def written(by_engine: list[list[float | None]], mask: list[list[int]]) -> _Written:
    ours = torch.tensor([[-0.5, -0.7, 0.0], [-1.0, -2.0, -3.0]])
    prompt_and_completion = torch.cat([torch.ones(2, 4), torch.tensor(mask)], 1)
    return _Written(by_engine, ours, (None, None, prompt_and_completion), {})


def test_an_engine_is_compared_token_by_token() -> None:
    found = _by_engine(written([[-0.5, -0.9], [-1.0, -2.0, -3.1]], [[1, 1, 0], [1, 1, 1]]))
    assert found is not None
    assert found.logps == pytest.approx(0.3 / 5)


def test_what_the_trainer_has_masked_and_what_the_engine_has_not_are_left_out() -> None:
    """TRL puts None where vLLM gives no number, and 0 where a completion is masked."""
    found = _by_engine(written([[-9.0, -9.0], [-1.0, None, -3.5]], [[0, 0, 0], [1, 1, 1]]))
    assert found is not None
    assert found.logps == pytest.approx(0.5 / 2)
    assert _by_engine(written([[-9.0], [-9.0]], [[0, 0, 0], [0, 0, 0]])) is None


def test_a_difference_that_is_no_number_is_never_within() -> None:
    most = Difference(0.1, 0.1)
    assert Difference(0.1, 0.1).within(most)
    assert not Difference(math.nan, 0.0).within(most)
    assert not Difference(0.0, math.nan).within(most)
    assert not Difference(0.2, 0.0).within(most)


def test_a_path_that_was_left_stays_on_record_and_the_others_are_compared_anew() -> None:
    step = FirstStep(found={"vLLM": "fine"}, loss_checked=True, engine_checked=True)
    step.refuse(PathRefused("shared prefixes", "no kernel"))
    assert step.record() == {"checked shared prefixes": "left: no kernel"}
    assert not step.loss_checked
    assert not step.engine_checked


@pytest.mark.parametrize(("loss", "writes", "expected"), [
    ("unsloth", "merged", "transformers"), ("unsloth", "vllm", "vllm"),
    ("shared", "merged", "merged"), ("trl", "merged", "merged"),
])  # fmt: skip
def test_no_copy_writes_for_a_trainer_that_compares_nothing(
    loss: Any, writes: Any, expected: str
) -> None:
    job: Any = SimpleNamespace(policy=SimpleNamespace(generation=writes))
    found = without_unchecked_copy(Paths(loss, None, writes), job)
    assert found.writes == job.policy.generation == expected
