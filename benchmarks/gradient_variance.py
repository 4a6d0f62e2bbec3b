"""How much the gradient of sampled and of summed answers varies from one rollout to the next.

    python benchmarks/gradient_variance.py --draws 64

The same prompts are answered again and again (`--draws`), `--group` thoughts each. From the same
thoughts both gradients are taken, of the expected reward J, without a standard deviation and with
the mean of the other completions as baseline, so that both are right on average:

    sampled   Σ_i (r(a_i) - mean of the others) ∇ log π(z_i, a_i | x)
    summed    Σ_i (R_i - mean of the others) ∇ log π(z_i | x) + ∇ R_i
              with R_i = Σ_k π(a_k | x, z_i) r_k

Printed: the variance of each (trace of the covariance, unbiased), both by the squared norm of the
mean; how far the two means are apart by what chance allows; the tokens each takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import get_peft_model
from torch import Tensor

from rftkit.core import Completion
from rftkit.data.examples import load_examples
from rftkit.hardware.prompt_size import largest_prompt
from rftkit.models import open_for_training
from rftkit.models.policy import Decoding, Policy
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import load_recipe
from rftkit.training.reward_functions import RolloutLog, Scorer
from rftkit.training.summed import Answers, Thought

ROOT = Path(__file__).parent.parent


class Draw(NamedTuple):
    """Gradients of one set of rollouts, flat, (weights,) float64; rewards; tokens computed."""

    sampled: Tensor
    summed: Tensor
    rewards: tuple[list[float], list[float]]
    tokens: tuple[int, int]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "quickstart.toml")
    parser.add_argument("--adapter", type=Path, help="a trained adapter; else a new one")
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = load_recipe(given.recipe)
    policy, answers = _opened(recipe, given.adapter)
    draws = []
    for number in range(given.draws):
        draws.append(drawn(policy, answers, range(given.prompts), given.group, number))
        print(f"draw {number + 1} of {given.draws}", file=sys.stderr, flush=True)
    print(json.dumps(measured(draws), indent=1))


def _opened(recipe: Recipe, adapter: Path | None) -> tuple[Policy, Answers]:
    from rich.console import Console

    examples = load_examples(recipe, recipe.data.train_split).examples
    policy = open_for_training(recipe, largest_prompt(recipe, examples), lambda line: None)
    torch.manual_seed(recipe.seed)
    policy.model = get_peft_model(policy.model, policy.new_adapter())
    if adapter is not None:
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(policy.model, load_peft_weights(str(adapter), device="cpu"))
    policy.model.eval()  # no dropout: the gradient of one model, again and again
    log = RolloutLog(Path("/dev/null"), Console(stderr=True))
    return policy, Answers(recipe, policy, Scorer(recipe, examples, policy.stop_ids(), log))


def drawn(policy: Policy, answers: Answers, numbers: Sequence[int], group: int, seed: int) -> Draw:
    """One rollout of each prompt, and both gradients from it."""
    totals = [torch.zeros(0, dtype=torch.float64)] * 2
    rewards: tuple[list[float], list[float]] = ([], [])
    tokens = [0, 0]
    for number in numbers:
        for way, (gradient, paid, count) in enumerate(
            _of_prompt(policy, answers, number, group, seed)
        ):
            totals[way] = gradient if not len(totals[way]) else totals[way] + gradient
            rewards[way].extend(paid)
            tokens[way] += count
    return Draw(totals[0], totals[1], rewards, (tokens[0], tokens[1]))


def _of_prompt(
    policy: Policy, answers: Answers, number: int, group: int, seed: int
) -> list[tuple[Tensor, list[float], int]]:
    """Sampled, then summed: gradient, what each completion earned, tokens of completions."""
    recipe, prompt = answers.recipe, answers.prompt(number)
    decoding = Decoding(recipe.method.max_new_tokens, 1.0, seed * 10_007 + number)
    made = policy.generate([prompt] * group, decoding).completions
    ids = [_ids(policy, one) for one in made]
    thoughts = [answers.thought(number, one.tolist()) for one in ids]
    paid = [_paid(one, thought) for one, thought in zip(ids, thoughts, strict=True)]
    (logps,) = policy.answer_logps([prompt], [ids])
    sampled = _gradient(policy.model, (logps * _advantages(paid)).sum())
    known = {row: one for row, one in enumerate(thoughts) if one is not None}
    sequences = {row: one.sequences() for row, one in known.items()}
    if not known:
        zeros = torch.zeros_like(sampled)
        return [(sampled, paid, _count(ids)), (zeros, [0.0] * group, _count(ids))]
    flat = [one for row in sequences.values() for one in row]
    (found,) = policy.answer_logps([prompt], [flat])
    parts = dict(
        zip(sequences, torch.split(found, [len(row) for row in sequences.values()]), strict=True)
    )
    expected = {
        row: ((part[1:] - part[0]).double().exp() * known[row].rewards).sum()
        for row, part in parts.items()
    }
    worth = [float(expected[row].detach()) if row in expected else 0.0 for row in range(group)]
    advantages = _advantages(worth)
    objective = sum(advantages[row] * parts[row][0] + expected[row] for row in known)
    extra = sum(len(one) for row in known for one in known[row].answers)
    summed = _gradient(policy.model, objective)
    return [(sampled, paid, _count(ids)), (summed, worth, _count(ids) + extra)]


def _paid(ids: Tensor, thought: Thought | None) -> float:
    """What the answer that was sampled earns: of those that are summed, the one it is."""
    if thought is None:
        return 0.0
    written = ids[len(thought.begun) :]
    pairs = zip(thought.answers, thought.rewards.tolist(), strict=True)
    return next((reward for answer, reward in pairs if written.equal(answer)), 0.0)


def _ids(policy: Policy, made: Completion) -> Tensor:
    tokenizer = policy.processor.tokenizer
    text = made.text + (tokenizer.eos_token if made.finished else "")
    found: Tensor = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    return found


def _advantages(paid: Sequence[float]) -> Tensor:
    """Each minus the mean of the others."""
    values = torch.tensor(paid, dtype=torch.float64)
    return (values - (values.sum() - values) / (len(values) - 1)).float()


def _gradient(model: Any, objective: Any) -> Tensor:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(objective, weights, allow_unused=True)
    return torch.cat([
        (torch.zeros_like(w) if g is None else g).double().flatten()
        for w, g in zip(weights, found, strict=True)
    ])  # fmt: skip


def _count(ids: Sequence[Tensor]) -> int:
    return sum(map(len, ids))


def measured(draws: Sequence[Draw]) -> dict[str, Any]:
    """Variances, and whether the means are the same but for chance."""
    count = len(draws)
    found: dict[str, Any] = {"draws": count}
    means = {}
    for name in ("sampled", "summed"):
        rows = torch.stack([getattr(draw, name) for draw in draws])
        means[name] = rows.mean(0)
        variance = float(((rows - means[name]) ** 2).sum() / (count - 1))
        signal = float((means[name] ** 2).sum()) - variance / count  # unbiased
        way = ("sampled", "summed").index(name)
        found[name] = {
            "variance": variance,
            "by the squared norm of the mean": variance / signal if signal > 0 else None,
            "reward": sum(sum(d.rewards[way]) for d in draws)
            / sum(len(d.rewards[way]) for d in draws),
            "tokens of completions and answers": sum(d.tokens[way] for d in draws) / count,
        }
    gaps = torch.stack([draw.summed - draw.sampled for draw in draws])
    chance = float(((gaps - gaps.mean(0)) ** 2).sum() / (count - 1) / count)
    found["variance, sampled by summed"] = (
        found["sampled"]["variance"] / found["summed"]["variance"]
    )
    # the squared distance of the means by what it would be if both were right: about 1
    found["distance of the means"] = float((gaps.mean(0) ** 2).sum()) / chance
    return found


if __name__ == "__main__":
    main()
