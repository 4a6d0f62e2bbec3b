"""Where a sampled thought ends, and how much the exact term for its answers counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rftkit.errors import RecipeError
from rftkit.patches.trl import own
from rftkit.recipe.toml import parse_recipe
from rftkit.training.summed import Cut, _normalisers, cut

TOKENS = [
    "<think>",
    "fur",
    "</think>",
    "\n",
    "<",
    "answer",
    ">",
    ">B",
    "Bo",
    "eing",
    "</answer>",
    "<answer>",
]


def ids(*texts: str) -> list[int]:
    return [TOKENS.index(text) for text in texts]


def decode(numbers: Any) -> str:
    return "".join(TOKENS[number] for number in numbers)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (("<think>", "fur", "</think>", "\n", "<", "answer", ">", "Bo", "eing"), Cut(7, "")),
        (("<think>", "fur", "</think>", "<answer>", "Bo"), Cut(4, "")),
        # a token holds the end of the tag and the beginning of the answer
        (("<think>", "fur", "</think>", "\n", "<", "answer", ">B", "eing"), Cut(6, ">")),
        (("<think>", "<answer>", "Bo", "</think>", "<answer>", "Bo"), Cut(5, "")),
        (("<think>", "fur", "</think>", "Bo"), None),
        (("<think>", "fur", "<answer>", "Bo"), None),
        ((), None),
    ],
)
def test_a_reply_is_cut_where_its_answer_begins(written: Any, expected: Cut | None) -> None:
    assert cut(ids(*written), decode, "think") == expected


def test_a_reply_without_a_thought_is_cut_too_where_thinking_is_a_choice() -> None:
    assert cut(ids("<answer>", "Bo"), decode, "adaptive") == Cut(1, "")
    assert cut(ids("<answer>", "Bo"), decode, "think") is None
    long = ids("<think>", "fur", "</think>", "\n", "<answer>", "Bo")
    assert cut(long, decode, "adaptive") == Cut(5, "")


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "bnpo", "dapo"])
def test_answers_count_as_much_as_a_token_of_their_thought(loss: str, accumulated: int) -> None:
    """By TRL's own loss: what the gradient of a token is, for an advantage of 1."""
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    logps = torch.full((2, 4), -1.0, requires_grad=True)
    trainer: Any = SimpleNamespace(
        loss_type=loss, beta=0.0, use_vllm=False, epsilon_low=0.2, epsilon_high=0.2,
        importance_sampling_level="token", off_policy_mask_threshold=None, top_entropy_quantile=1.0,
        aux_loss_enabled=False, _entropy_bonus_enabled=False, max_completion_length=4,
        current_gradient_accumulation_steps=accumulated, num_iterations=1,
        args=SimpleNamespace(delta=None, steps_per_generation=2),
        model=SimpleNamespace(training=True),
        _metrics={"train": SimpleNamespace(__getitem__=None)},
        accelerator=SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros(2, 4), None),
    )  # fmt: skip
    trainer._metrics = {"train": _Lists()}
    inputs: Any = {
        "prompt_ids": torch.zeros(2, 1, dtype=torch.long), "prompt_mask": torch.ones(2, 1),
        "completion_ids": torch.zeros(2, 4, dtype=torch.long), "completion_mask": mask,
        "advantages": torch.ones(2), "num_items_in_batch": torch.tensor(9),
    }  # fmt: skip
    found = own("GRPOTrainer")._compute_loss(trainer, None, inputs)
    found.backward()
    assert logps.grad is not None
    expected = -1 / logps.grad[:, 0]
    assert _normalisers(trainer, inputs).tolist() == pytest.approx(expected.tolist())


class _Lists(dict[str, list[float]]):
    def __missing__(self, name: str) -> list[float]:
        return self.setdefault(name, [])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("style=direct",), 'for direct answers set method.kind = "exact"'),
        (("method.kind=sft",), "method.answers: 'summed' is for GRPO"),
        (("data.choices=none",), "method.answers: 'summed' needs every answer"),
        (("method.update.aggregation=normalize_then_sum",), "has no one scale for its answers"),
        (("method.trainer=unsloth",), "Unsloth's own trainer has samples alone"),
    ],
)
def test_what_cannot_be_summed_is_refused_in_one_line(
    overrides: tuple[str, ...], said: str
) -> None:
    text = '[data]\nsource = "digits"\n[method]\nanswers = "summed"\n'
    parse_recipe(text, "test", ())
    with pytest.raises(RecipeError) as refused:
        parse_recipe(text, "test", overrides)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
