"""`rftkit score --attack`: what cheap replies earn by a recipe's rewards, on its own data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rftkit.preflight.attacks import GOLD, paid_like_gold, run_attacks
from rftkit.recipe.schema import Recipe
from rftkit.tasks import TASKS, get_task

DATA = {"source": "csv", "path": "x"}  # which every task can read
STYLES = ("think", "direct", "answer-first", "adaptive")


def recipe(task: str, **more: Any) -> Recipe:
    return Recipe.model_validate({"task": task, "data": DATA, **more})


def earned(mine: Recipe) -> dict[str, tuple[float, float]]:
    sample = get_task(mine.task).sample
    found = run_attacks(mine, [sample, replace(sample, id="again")])
    assert all(outcome.replies % 2 == 0 for outcome in found)
    return {outcome.name: (outcome.headline, outcome.total) for outcome in found}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_gold_earns_all_and_attacks_earn_nothing(task: str, style: str) -> None:
    mine = recipe(task, style=style)
    found = earned(mine)
    weights = {n: w for n, w in mine.rewards.items() if (style, n) != ("direct", "format")}
    assert found.pop(GOLD) == (1.0, sum(weights.values()))
    assert len(found) >= 5
    padded = found.pop("gold with a box around everything", (0.0, 0.0))
    assert padded[0] == pytest.approx(2 / 3 if task == "detection" else 0)
    assert {headline for headline, _ in found.values()} == {0.0}
    assert paid_like_gold(run_attacks(mine, [get_task(task).sample])) == []


def test_what_pays_for_form_alone_is_found() -> None:
    found = run_attacks(recipe("choice", rewards={"format": 1.0}), [get_task("choice").sample])
    assert "all answers at once" in paid_like_gold(found)


def test_the_papers_rules_pay_an_empty_answer() -> None:
    sample = replace(get_task("classification").sample, choices=(), labels=("rose", "tulip"))
    found = run_attacks(recipe("classification", rules="paper"), [sample])
    assert "an empty reply" not in paid_like_gold(run_attacks(recipe("classification"), [sample]))
    empty = next(outcome for outcome in found if outcome.name == "an empty reply")
    assert empty.headline == pytest.approx(1.0)


def test_a_reward_of_ones_own_is_attacked_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def long(attempt): return len(attempt.completion.text)")
    mine = recipe("number", rewards={"accuracy": 1.0, f"{tmp_path}/mine.py:long": 1.0})
    assert "gold, then another" in paid_like_gold(run_attacks(mine, [get_task("number").sample]))
