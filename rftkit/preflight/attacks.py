"""Cheap replies built from the gold answer that must earn nothing: what a policy would find out.

They are the tests of every task, and `rftkit score --attack RECIPE` runs them on a user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rftkit.answers import box_text, boxes, replies
from rftkit.answers.boxes import Box, Grid
from rftkit.core import Completion, Example, Style
from rftkit.recipe.schema import Recipe
from rftkit.rewards import general as rewards
from rftkit.rewards.custom import load_reward
from rftkit.tasks import by_name
from rftkit.tasks.task import Task

EVERYTHING = Box(0, 0, 1, 1)
GOLD = "the gold answer"
EXAMPLES_TRIED = 200


@dataclass(frozen=True)
class Outcome:
    """What one kind of reply earned: mean headline reward, and mean weighted sum of all."""

    name: str
    headline: float
    total: float
    replies: int


def wrong_answers(task: Task, example: Example) -> list[str]:
    """Wrong answers of the right kind, written as the model would."""
    grid = Grid.of(example.meta)
    if task.name == "detection":
        names = example.choices[:1]
        return [box_text.write_boxes([EVERYTHING], grid, names)]
    if task.name == "grounding":
        return [box_text.write_box(EVERYTHING, grid)]
    if task.name == "number":
        return [task.written(example) + "1", "-1"]
    labels = example.choices or example.labels
    return [task.spelled(example, label) for label in labels if label != example.gold]


def attacks(task: Task, example: Example, style: Style) -> dict[str, list[str]]:
    """Kind of attack -> replies. Without a wrong answer to build from, fewer kinds."""
    gold, wrong = task.written(example), wrong_answers(task, example)
    ideal = task.ideal(example, style)
    made = {
        "an empty reply": ["", " \n", replies.render("", "two ears", style)],
        "gold inside the reasoning only": [
            f"<think>{gold}</think>",
            f"<think><answer>{gold}</answer></think>",
        ],
        "gold cut off": [ideal[: ideal.rfind(gold) + len(gold) // 2]],
    }
    if wrong:
        made["all answers at once"] = [
            replies.render(joint.join([gold, *wrong]), "all", style) for joint in (" or ", "/", " ")
        ]
        made["gold, then another"] = [
            f"{ideal}\n{replies.render(other, None, style)}" for other in wrong[:3]
        ]
    if task.name == "detection":
        made["gold with a box around everything"] = [replies.render(_padded(example), "all", style)]
    return made


def run_attacks(recipe: Recipe, examples: Sequence[Example]) -> list[Outcome]:
    """What gold and each attack earn by the recipe's rewards, on these examples."""
    task, found = by_name(recipe.task), dict[str, list[tuple[float, float]]]()
    for example in examples[:EXAMPLES_TRIED]:
        ideal = task.ideal(example, recipe.style)
        for name, texts in {GOLD: [ideal], **attacks(task, example, recipe.style)}.items():
            found.setdefault(name, []).extend(_paid(recipe, example, text) for text in texts)
    return [
        Outcome(name, fmean(h for h, _ in scores), fmean(t for _, t in scores), len(scores))
        for name, scores in found.items()
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
    task = by_name(recipe.task)
    attempt = task.attempt(example, recipe.style, Completion(text))
    paid = {**rewards.GENERAL, **task.training_rewards(recipe.rules, recipe.options, 1.0)}
    total = 0.0
    for name, weight in recipe.rewards.items():
        if (recipe.style, name) != ("direct", "format"):
            total += weight * (paid[name] if name in paid else load_reward(name))(attempt)
    return paid[task.headline](attempt), total


def _padded(example: Example) -> str:
    """The gold boxes, and one around everything."""
    gold, grid = example.gold, Grid.of(example.meta)
    names = boxes.load_names(gold)
    more = [*names, *example.choices[:1]] if example.choices else []
    return box_text.write_boxes([*boxes.load(gold), EVERYTHING], grid, more)
