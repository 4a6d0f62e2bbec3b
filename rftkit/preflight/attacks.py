"""Cheap replies built from the gold answer that must earn nothing: what a policy would find out.

They are the tests of every task, and `rftkit score --attack RECIPE` runs them on a user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rftkit.answers import replies
from rftkit.core import Completion, Example, Style
from rftkit.recipe.schema import Recipe
from rftkit.rewards.custom import load_reward
from rftkit.rewards.general import GENERAL
from rftkit.tasks import get_task
from rftkit.tasks.task import Task

GOLD = "the gold answer"
EXAMPLES_TRIED = 200


@dataclass(frozen=True)
class Outcome:
    """What one kind of reply earned: mean headline reward, and mean weighted sum of all."""

    name: str
    headline: float
    total: float
    replies: int


def attacks(task: Task, example: Example, style: Style) -> dict[str, list[str]]:
    """Kind of attack -> replies. Without a wrong answer to build from, fewer kinds."""
    gold, wrong = task.written(example), task.wrong(example)
    ideal = task.ideal(example, style)
    made = {
        "an empty reply": ["", " \n", replies.render("", "two ears", style)],
        "gold inside the reasoning only": [
            f"<think>{gold}</think>",
            f"<think><answer>{gold}</answer></think>",
        ],
        "gold truncated": [ideal[: ideal.rfind(gold) + len(gold) // 2]],
    }
    if wrong:
        made["all answers at once"] = [
            replies.render(joint.join([gold, *wrong]), "all", style) for joint in (" or ", "/", " ")
        ]
        made["gold, then another"] = [
            f"{ideal}\n{replies.render(other, None, style)}" for other in wrong[:3]
        ]
    for name, answer in task.probes(example).items():
        made[name] = [replies.render(answer, "all", style)]
    return made


def run_attacks(recipe: Recipe, examples: Sequence[Example]) -> list[Outcome]:
    """What gold and each attack earn by the recipe's rewards, on these examples."""
    task, outcomes = get_task(recipe.task), dict[str, list[tuple[float, float]]]()
    for example in examples[:EXAMPLES_TRIED]:
        ideal = task.ideal(example, recipe.style)
        for name, texts in {GOLD: [ideal], **attacks(task, example, recipe.style)}.items():
            outcomes.setdefault(name, []).extend(_paid(recipe, example, text) for text in texts)
    return [
        Outcome(name, fmean(h for h, _ in scores), fmean(t for _, t in scores), len(scores))
        for name, scores in outcomes.items()
    ]


def paid_like_gold(outcomes: Sequence[Outcome]) -> list[str]:
    """The attacks that earn as much as gold, by the headline or in all."""
    gold = next(outcome for outcome in outcomes if outcome.name == GOLD)
    return [
        outcome.name
        for outcome in outcomes
        if outcome is not gold
        and (outcome.headline >= gold.headline or outcome.total >= gold.total)
    ]


def _paid(recipe: Recipe, example: Example, text: str) -> tuple[float, float]:
    task = get_task(recipe.task)
    attempt = task.attempt(example, recipe.style, Completion(text))
    paid = {**GENERAL, **task.training_rewards(recipe.rules, recipe.options, 1.0)}
    total = 0.0
    for name, weight in recipe.active_rewards.items():
        total += weight * (paid[name] if name in paid else load_reward(name))(attempt)
    return paid[task.headline](attempt), total
