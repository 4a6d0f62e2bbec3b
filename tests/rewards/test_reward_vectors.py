"""Every known figure of the papers' rules and of the strict ones, through `rftkit score`.

Each line of data/reward_vectors.jsonl has `completion` and `gold`, and either
- `strict` and `paper` (Visual-RFT): the parts in style think, without choices; or
- `cls_rl`: `accuracy` and `format` of the think rule, `direct` accuracy, `evaluation`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rftkit.core import Completion, Example, NoImage, Rules, Style
from rftkit.metrics.completions import score_lines
from rftkit.tasks import classification, get_task

TABLE = Path(__file__).parents[1] / "data" / "reward_vectors.jsonl"

# The papers run a maths verifier over raw text first, which pays wrong answers. It is left out on
# purpose; the vectors that score through it alone, with the accuracy that is ours:
PAID_BY_THE_VERIFIER = {
    "vrft/C18_math_verify_number": 0.0,
    "vrft/C18b_math_verify_number_prose": 0.0,
    "clsrl/t42_car_year_in_think_only": 0.0,
    "clsrl/t63_car_think_mentions_gt_year_answer_other_year": 0.0,
    "clsrl/t67_latex_in_think": 0.0,
}


def load(kind: str) -> list[dict[str, Any]]:
    """The vectors that have `kind`: "strict", "paper" or "cls_rl"."""
    with TABLE.open(encoding="utf-8") as lines:
        return [vector for line in lines if kind in (vector := json.loads(line))]


def scored(vector: dict[str, Any], style: Style, rules: Rules, **more: object) -> dict[str, float]:
    line = json.dumps({"completion": vector["completion"], "gold": vector["gold"], **more})
    (result,) = score_lines([line], vector["task"], style, rules)
    return json.loads(result)["rewards"]


def by_id(vector: dict[str, Any]) -> str:
    return str(vector["id"])


def test_the_table_is_whole() -> None:
    assert len(load("strict")) + len(load("cls_rl")) == 75
    assert [v["id"] for v in load("strict")] == [v["id"] for v in load("paper")]
    assert {v["id"] for v in load("paper") + load("cls_rl")} > PAID_BY_THE_VERIFIER.keys()


@pytest.mark.parametrize("vector", load("strict"), ids=by_id)
def test_strict_rules_pay_what_the_table_says(vector: dict[str, Any]) -> None:
    paid = scored(vector, "think", "strict")
    assert {name: paid[name] for name in vector["strict"]} == pytest.approx(
        vector["strict"], abs=1e-9
    )
    assert vector["strict"].keys() >= {get_task(vector["task"]).headline, "format"}


@pytest.mark.parametrize("vector", load("paper"), ids=by_id)
def test_visual_rft_rules_pay_what_its_code_pays(vector: dict[str, Any]) -> None:
    expected = dict(vector["paper"])
    if vector["id"] in PAID_BY_THE_VERIFIER:
        expected["accuracy"] = PAID_BY_THE_VERIFIER[vector["id"]]
    assert scored(vector, "think", "paper") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("vector", load("cls_rl"), ids=by_id)
def test_cls_rl_rules_pay_what_its_code_pays(vector: dict[str, Any]) -> None:
    figures = vector["cls_rl"]
    offered = [vector["gold"], "some other label"]
    think = scored(vector, "think", "paper", choices=offered)
    accuracy = PAID_BY_THE_VERIFIER.get(vector["id"], figures["accuracy"])
    assert think == {"accuracy": accuracy, "format": figures["format"]}
    assert scored(vector, "direct", "paper", choices=offered) == {"accuracy": figures["direct"]}


@pytest.mark.parametrize("vector", load("cls_rl"), ids=by_id)
def test_cls_rl_evaluation_is_a_substring_test(vector: dict[str, Any]) -> None:
    example = Example("x", NoImage(), "", vector["gold"])
    attempt = classification.TASK.attempt(example, "think", Completion(vector["completion"]))
    assert classification.paper_evaluation(attempt) == vector["cls_rl"]["evaluation"]
