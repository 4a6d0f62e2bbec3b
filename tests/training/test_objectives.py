"""The mathematics of exact training: gradients, limits of sampling, the list and the rest."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rftkit.training.exact.objectives import Goal, Objective, Outcomes, measured, tilted

P = [0.5, 0.2, 0.05]  # and 0.25 off the list
R = [0.0, 1.0, 0.3]
BASE = [0.3, 0.3, 0.2]
OBJECTIVES: tuple[Objective, ...] = ("reward", "grpo", "likelihood", "tilted")


def logs(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).log()


def gradient(goal: Goal, p: list[float], r: list[float], base: list[float] | None = BASE) -> Tensor:
    """Of the loss, with respect to the log-probabilities of the answers."""
    logps = logs(p).requires_grad_()
    loss = measured(goal, logps, torch.tensor(r), None if base is None else logs(base)).loss
    (found,) = torch.autograd.grad(loss, logps)
    return found


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o != "grpo"])
@pytest.mark.parametrize("more", [{}, {"kl": 0.3}, {"brier": 0.7}])
def test_gradients_are_those_of_finite_differences(
    objective: Objective, within: bool, more: dict[str, float]
) -> None:
    goal = Goal(objective, within_list=within, **more)

    def loss(logps: Tensor) -> Tensor:
        return measured(goal, logps, torch.tensor(R), logs(BASE)).loss

    assert torch.autograd.gradcheck(loss, logs(P).requires_grad_())


def test_grpo_is_the_gradient_of_the_reward_by_its_standard_deviation() -> None:
    mean = sum(p * r for p, r in zip(P, R, strict=True))
    std = math.sqrt(sum(p * r * r for p, r in zip(P, R, strict=True)) - mean**2)
    expected = gradient(Goal("reward"), P, R) / (std + 1e-4)
    assert gradient(Goal("grpo"), P, R).tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize("p", [0.001, 0.3, 0.9, 0.999])
def test_with_one_right_answer_grpo_climbs_the_arcsine(p: float) -> None:
    """d/dp 2 arcsin √p = 1 / √(p (1 - p))."""
    found = gradient(Goal("grpo"), [p, 0.0005], [1.0, 0.0], None)[0]
    assert float(found) == pytest.approx(-p / math.sqrt(p * (1 - p)), rel=0.02)


@pytest.mark.parametrize(
    ("objective", "weight"),
    [
        ("reward", lambda p: p),
        ("grpo", lambda p: math.sqrt(p / (1 - p))),
        ("likelihood", lambda p: 1.0),
        ("tilted", lambda p: 1.0),
    ],
)
@pytest.mark.parametrize("p", [0.02, 0.5, 0.8])
def test_with_one_right_answer_objectives_differ_in_how_an_example_counts(
    objective: Objective, weight: object, p: float
) -> None:
    """The gradient of log p(right), to which all point, is weighed as the docs say."""
    goal = Goal(objective, beta=0.02)
    logits = torch.tensor([p, 0.6 * (1 - p), 0.4 * (1 - p)], dtype=torch.float64).log()
    logits.requires_grad_()
    logps = logits.log_softmax(0)
    loss = measured(goal, logps[:2], torch.tensor([1.0, 0.0]), logps[:2].detach()).loss
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (direction,) = torch.autograd.grad(logps[0], logits)
    assert callable(weight)
    expected = (-weight(p) * direction).tolist()
    assert found.tolist() == pytest.approx(expected, rel=0.02, abs=1e-4)


def test_the_tilted_optimum_is_where_its_loss_and_gradient_vanish() -> None:
    """No other outcomes are worth more: reward - beta × KL to the base."""
    base, rewards = Outcomes.of(logs(BASE), within_list=False), torch.tensor(R).double()
    best = tilted(base, rewards, 0.5)
    assert float(best.answers_K.exp().sum() + best.rest.exp()) == pytest.approx(1)

    def worth(p: list[float]) -> float:
        found = measured(Goal("reward", kl=0.5), logs(p), rewards, logs(BASE))
        return -float(found.loss)

    optimum = best.answers_K.exp().tolist()
    assert gradient(Goal("tilted", beta=0.5), optimum, R).tolist() == pytest.approx([0] * 3)
    for k in range(3):
        for step in (-0.01, 0.01):
            moved = [p + step * (number == k) for number, p in enumerate(optimum)]
            assert worth(moved) < worth(optimum)


def test_tilted_does_not_vanish_where_the_right_answer_is_unlikely() -> None:
    rare = [1e-9, 0.7]
    by = {o: abs(float(gradient(Goal(o), rare, [1.0, 0.0], rare)[0])) for o in OBJECTIVES}
    assert by["reward"] < by["grpo"] < 1e-4
    assert by["likelihood"] == pytest.approx(1)
    assert by["tilted"] > 1e-6


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("within", [False, True])
def test_the_order_of_the_list_is_no_matter(objective: Objective, within: bool) -> None:
    goal, order = Goal(objective, within_list=within, kl=0.1, brier=0.2), [2, 0, 1]

    def of(values: list[float]) -> list[float]:
        return [values[number] for number in order]

    found = gradient(goal, P, R)[order]
    assert gradient(goal, of(P), of(R), of(BASE)).tolist() == pytest.approx(found.tolist())


def test_all_right_spellings_are_imitated() -> None:
    found = gradient(Goal("likelihood"), [0.5, 0.1, 0.3], [0.0, 1.0, 1.0])
    assert found.tolist() == pytest.approx([0, -0.25, -0.75])


def test_within_the_list_only_what_the_list_shares_counts() -> None:
    for objective in OBJECTIVES:
        goal = Goal(objective, within_list=True, kl=0.1, brier=0.1)
        scaled = [p / 100 for p in P]
        found = gradient(goal, P, R)
        assert gradient(goal, scaled, R).tolist() == pytest.approx(found.tolist())
        assert float(found.sum()) == pytest.approx(0, abs=1e-9)


def test_kl_is_over_answers_and_the_rest() -> None:
    found = measured(Goal("reward", kl=1.0), logs(P), torch.tensor(R), logs(BASE)).kl
    ours, base = [*P, 0.25], [*BASE, 0.2]
    expected = sum(p * math.log(p / q) for p, q in zip(ours, base, strict=True))
    assert found == pytest.approx(expected)


def test_brier_is_the_squared_distance_from_the_right_answer() -> None:
    """Of the list's own probabilities; two right spellings are one outcome."""
    goal = Goal("reward", brier=1.0)
    p, r = [0.4, 0.2, 0.2], torch.tensor([0.0, 1.0, 1.0])
    found = measured(goal, logs(p), r, None)
    assert float(found.loss) + found.reward == pytest.approx(0.5**2 + (1 - 0.5) ** 2)


def test_a_list_that_holds_all_the_mass_is_finite() -> None:
    """Sums of exponentials round above 1."""
    full = torch.tensor([0.75, 0.2500001], dtype=torch.float64).log()
    for objective in OBJECTIVES:
        logps = full.clone().requires_grad_()
        goal = Goal(objective, kl=0.1)
        found = measured(goal, logps, torch.tensor([1.0, 0.0]), full)
        (slope,) = torch.autograd.grad(found.loss, logps)
        assert slope.isfinite().all()
        assert 0 <= found.rest < 1e-5


def sampled(logits: Tensor, rewards: Tensor, size: int, groups: int, *, scaled: bool) -> Tensor:
    """(groups, outcomes): the gradient that (Dr.) GRPO estimates, from each group of samples.

    The last outcome is the rest.
    """
    p = logits.softmax(0)
    draws = torch.multinomial(p, groups * size, replacement=True).view(groups, size)
    paid = rewards[draws]
    advantages = paid - paid.mean(1, keepdim=True)
    if scaled:
        advantages = advantages / (paid.std(1, keepdim=True) + 1e-4)
    one_hot = torch.nn.functional.one_hot(draws, len(p)).double()
    return (advantages[..., None] * (one_hot - p)).mean(1)


@pytest.mark.parametrize(
    ("objective", "size", "scaled", "bias"), [("reward", 8, False, 0.0), ("grpo", 512, True, 0.01)]
)
def test_sampled_gradients_tend_to_the_exact_one(
    objective: Objective, size: int, scaled: bool, bias: float
) -> None:
    """Within 5 standard errors of the mean, and `bias` of it for the ratio of two estimates.

    A group's mean holds the sample itself, so that Dr. GRPO's gradient is (1 - 1/G) of the exact
    one.
    """
    torch.manual_seed(0)
    logits = logs([*P, 0.25]).requires_grad_()
    goal = Goal(objective)
    loss = measured(goal, logits.log_softmax(0)[:3], torch.tensor(R), None).loss
    (exact,) = torch.autograd.grad(-loss, logits)
    rewards = torch.tensor([*R, 0.0], dtype=torch.float64)
    groups = 400_000 // size * 4
    found = sampled(logits.detach(), rewards, size, groups, scaled=scaled) / (1 - 1 / size)
    error = found.std(0) / math.sqrt(groups)
    assert float((error / exact.abs()).max()) < 0.02, "too few samples to tell"
    assert ((found.mean(0) - exact).abs() <= 5 * error + bias * exact.abs()).all()
    assert ((found.mean(0) - 1.1 * exact).abs() > 5 * error).any()
