"""What is maximised where every answer's probability is known: per example, from K numbers.

    s_k   log-probability of answer k, closed by the end of the turn     p_k = exp(s_k)
    r_k   its reward, in [0, 1]
    p_0   = 1 - Σ p_k, the probability of everything that is not on the list, which earns 0

GRPO estimates these from a few samples of p. With one right answer of reward 1, all objectives
raise log p of it and differ in how much an example counts: by p (reward), √(p / (1 - p)) (grpo),
1 (likelihood), and about 1 (tilted, for a small beta).

Sources: the expected reward is the limit of REINFORCE and Dr. GRPO (arXiv 2503.20783); GRPO's
division by the standard deviation makes it 2 arcsin √J (arXiv 2510.13651); tilted is the optimum of
KL-regularised reinforcement (arXiv 2205.11275).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Objective = Literal["reward", "grpo", "likelihood", "tilted"]
STD = 1e-4  # added to the standard deviation, as TRL does
REST = 1e-6  # the least probability of the rest: sums of exponentials round


@dataclass(frozen=True)
class Goal:
    """What is maximised. beta: of `tilted`. kl, brier: weights of what is subtracted.

    within_list: whether probabilities are taken as they are among the answers, without the rest.
    """

    objective: Objective = "grpo"
    within_list: bool = False
    beta: float = 0.1
    kl: float = 0.0
    brier: float = 0.0

    @property
    def needs_base(self) -> bool:
        """Whether the base model's log-probabilities are needed."""
        return self.kl > 0 or self.objective == "tilted"


class Measured(NamedTuple):
    """loss: a scalar with gradient. The rest is without: expected reward, p_0, entropy, KL.

    kl: None where the base model is not computed.
    """

    loss: Tensor
    reward: float
    rest: float
    entropy: float
    kl: float | None


class Outcomes(NamedTuple):
    """Log-probabilities, float64: of the answers, (K,), and of the rest, a scalar; -inf: none."""

    answers_K: Tensor
    rest: Tensor

    @classmethod
    def of(cls, logps_K: Tensor, within_list: bool) -> Outcomes:
        """From log-probabilities of whole answers, none of which begins another."""
        logps_K = logps_K.double()
        together = logps_K.logsumexp(0)
        if within_list:
            return cls(logps_K - together, together.new_tensor(-math.inf))
        # log(1 - e^t); the clamp leaves no gradient where rounding has made the list's sum 1
        rest = torch.log(-torch.expm1(together.clamp(max=math.log1p(-REST))))
        return cls(logps_K, rest)

    def expected(self, values_K: Tensor) -> Tensor:
        """Σ p_k v_k, where the rest has 0."""
        return (self.answers_K.exp() * values_K).sum()


def measured(goal: Goal, logps_K: Tensor, rewards_K: Tensor, base_K: Tensor | None) -> Measured:
    """The loss of one example. base_K: the base model's log-probabilities, if it needs them."""
    ours = Outcomes.of(logps_K, goal.within_list)
    rewards_K = rewards_K.double().to(ours.answers_K.device)
    base = None if base_K is None else Outcomes.of(base_K.detach(), goal.within_list)
    divergence = ours.rest.new_zeros(()) if base is None else kl(ours, base)
    loss = _losses(goal, ours, rewards_K, base) + goal.kl * divergence
    if goal.brier:
        loss = loss + goal.brier * brier(Outcomes.of(logps_K, within_list=True), rewards_K)
    beside = Outcomes.of(logps_K.detach(), within_list=False)
    return Measured(
        loss,
        reward=float(ours.expected(rewards_K).detach()),
        rest=float(beside.rest.exp()),
        entropy=float(entropy(ours).detach()),
        kl=None if base is None else float(divergence.detach()),
    )


def _losses(goal: Goal, ours: Outcomes, rewards_K: Tensor, base: Outcomes | None) -> Tensor:
    if goal.objective == "reward":
        return -ours.expected(rewards_K)
    if goal.objective == "grpo":
        mean = ours.expected(rewards_K)
        return -mean / (_std(ours, rewards_K, mean).detach() + STD)
    if goal.objective == "likelihood":
        return -ours.answers_K[rewards_K == rewards_K.max()].logsumexp(0)
    assert base is not None, "tilted needs the base model's log-probabilities"
    return kl(tilted(base, rewards_K, goal.beta), ours)


def _std(ours: Outcomes, rewards_K: Tensor, mean: Tensor) -> Tensor:
    """The standard deviation of the reward; sums of squares, since a difference would round."""
    variance = ours.expected((rewards_K - mean) ** 2) + ours.rest.exp() * mean**2
    return variance.sqrt()


def tilted(base: Outcomes, rewards_K: Tensor, beta: float) -> Outcomes:
    """The best outcomes at this price of KL: in proportion to base × exp(reward / beta)."""
    raised = base.answers_K + rewards_K / beta
    together = torch.cat([raised, base.rest[None]]).logsumexp(0)
    return Outcomes(raised - together, base.rest - together)


def kl(one: Outcomes, other: Outcomes) -> Tensor:
    """KL(one ‖ other) over the answers and the rest, in nats."""
    apart = one.expected(one.answers_K - other.answers_K)
    if torch.isinf(one.rest):
        return apart
    return apart + one.rest.exp() * (one.rest - other.rest)


def entropy(ours: Outcomes) -> Tensor:
    """Of the answers and the rest, in nats."""
    of_rest = 0.0 if torch.isinf(ours.rest) else ours.rest.exp() * ours.rest
    return -(ours.expected(ours.answers_K) + of_rest)


def brier(within_list: Outcomes, rewards_K: Tensor) -> Tensor:
    """Σ (p - y)² over the wrong answers and the right ones, taken together as one outcome."""
    probabilities_K, right = within_list.answers_K.exp(), rewards_K == rewards_K.max()
    wrong = (probabilities_K[~right] ** 2).sum()
    return wrong + (1 - probabilities_K[right].sum()) ** 2
