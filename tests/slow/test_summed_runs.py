"""GRPO with summed answers on the tiny model: fast path beside slow one, what it pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rftkit.files import read_lines
from rftkit.models.transformers import TransformersPolicy
from rftkit.runs.run import RunFolder
from rftkit.shared_prefix import logps as shared_prefix
from rftkit.training import summed

pytestmark = pytest.mark.slow

RECIPE = """
seed = 3
[model]
name = "tiny"
[data]
source = "digits"
shots = 8
[method]
answers = "summed"
steps = 2
learning_rate = 1e-3
batch_size = 4
group_size = 4
kl = 0.04
max_new_tokens = 32
[eval]
limit = 6
"""
Run = Callable[..., tuple[RunFolder, str]]


@pytest.fixture
def run(training_of: Callable[[str], Run]) -> Run:
    """Trains, and returns the run and what was printed."""
    return training_of(RECIPE)


def curve(run: RunFolder) -> list[list[float]]:
    names = ("loss", "grad_norm", "reward", "length", "kl")
    return [[line[name] for name in names] for line in read_lines(run.metrics)]


@pytest.mark.parametrize("style", ["think", "adaptive"])
@pytest.mark.parametrize("loss", ["grpo", "dr_grpo"])
def test_the_tree_in_one_row_trains_as_a_row_for_each_answer(
    run: Run, style: str, loss: str
) -> None:
    wanted = (f"style={style}", f"method.loss={loss}")
    shared, printed = run(*wanted)
    plain, _ = run(*wanted, "method.trainer=trl", out="plain")
    assert "against the slower way: shared prefixes" in printed
    assert "; of answers log-probabilities differ by" in printed
    assert shared.settings_in_force()["trainer"] == "SummedSharedPrefixTrainer"
    assert plain.settings_in_force()["trainer"] == "SummedGRPOTrainer"
    for ours, theirs in zip(curve(shared), curve(plain), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-5)


def test_micro_batches_add_up_to_the_step(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run()
    monkeypatch.setattr("rftkit.training.trainer.WHOLE_BATCH_BELOW", 0)
    parts, _ = run(out="parts")
    assert parts.settings_in_force()["gradient_accumulation_steps"] == "4"
    for one, other in zip(curve(whole), curve(parts), strict=True):
        assert one[1:] == pytest.approx(other[1:], rel=2e-3, abs=1e-5)


def test_a_thought_earns_what_its_answers_are_worth(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every reward that was paid is the sum over the list, by the slow way of scoring."""
    made: list[Any] = []
    real = summed.Answers.thought

    def noted(answers: Any, number: int, ids: Any) -> Any:
        made.append((answers, real(answers, number, ids)))
        return made[-1][1]

    monkeypatch.setattr(summed.Answers, "thought", noted)
    folder, _ = run("method.steps=1", "rewards={accuracy=1.0}", "method.learning_rate=1e-9")
    thoughts = [thought for _, thought in made]
    policy: TransformersPolicy = made[0][0].policy
    expected = []
    for answers, thought in made:
        if thought is None:
            expected.append(0.0)
            continue
        with torch.no_grad():
            (logps,) = policy.answer_logps(
                [answers.prompt(thought.number)], [thought.sequences()], shared=False
            )
        expected.append(float(((logps[1:] - logps[0]).double().exp() * thought.rewards).sum()))
    assert any(0.01 < value < 0.99 for value in expected)
    assert len(thoughts) == 16
    (line,) = read_lines(folder.metrics)
    assert line["rewards"]["accuracy"] == pytest.approx(sum(expected) / 16, abs=1e-4)


def test_a_tree_whose_answers_see_other_thoughts_is_left(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums over what follows are wrong, and nothing else is."""
    real = shared_prefix._sums

    def shifted(*given: Any) -> dict[int, torch.Tensor]:
        return {row: found.roll(1) for row, found in real(*given).items()}

    monkeypatch.setattr(shared_prefix, "_sums", shifted)
    folder, printed = run("method.steps=1")
    assert "shared prefixes" in printed
    assert folder.settings_in_force()["checked shared prefixes"].startswith("left: ")
    assert folder.settings_in_force()["trainer"] == "SummedGRPOTrainer"
