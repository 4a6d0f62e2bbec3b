"""Boxes of models that write the top edge before the left one, as Gemma 4 does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rftkit.answers.box_text import read_box, read_boxes, write_box, write_boxes
from rftkit.answers.boxes import Box, Grid, gold_box
from rftkit.core import Completion
from rftkit.model_info.families import family_of, grid_of
from rftkit.recipe.sections import Model
from rftkit.tasks import get_task

GRID = Grid(1000, 1000, y_first=True)
BOX = Box(0.1, 0.2, 0.3, 0.4)


def test_gemma_4_writes_thousandths_with_y_first() -> None:
    grids = [grid_of(family_of(Model(name=n)), 401408, None) for n in (
        "google/gemma-4-E4B-it", "google/gemma-3-4b-it", "Qwen/Qwen3.5-4B")]  # fmt: skip
    assert grids == [GRID, Grid(), Grid()]


def test_the_name_of_a_grid_keeps_the_order() -> None:
    assert str(GRID) == "1000x1000 y first"
    assert Grid.named(str(GRID)) == GRID
    assert Grid.named("640x480") == Grid(640, 480)


@pytest.mark.parametrize("text", [
    '[{"box_2d": [200, 100, 400, 300], "label": "cup"}]', "[[200, 100, 400, 300]]",
    '{"Position": [200, 100, 400, 300]}',
])  # fmt: skip
def test_a_list_is_read_top_left_bottom_right(text: str) -> None:
    (entry,) = read_boxes(text, GRID) or []
    assert entry.box == BOX
    assert read_box(text, GRID) == BOX


def test_what_is_written_is_read_back() -> None:
    assert write_box(BOX, GRID) == "(200,100),(400,300)"
    assert read_box(write_box(BOX, GRID), GRID) == BOX
    assert '"Position": [200, 100, 400, 300]' in write_boxes([BOX], GRID)


def test_a_users_own_gold_is_x_first_whatever_the_model_writes() -> None:
    assert gold_box([100, 200, 300, 400], GRID, "row 1") == BOX


@pytest.mark.parametrize(("task", "asked"), [
    ("detection", '"Position": [y1, x1, y2, x2]'), ("grounding", "(y1,x1),(y2,x2)"),
])  # fmt: skip
def test_the_prompt_asks_in_the_models_order_and_gold_earns_full_marks(
    task: str, asked: str
) -> None:
    chosen = get_task(task)
    example = replace(chosen.sample, meta={**chosen.sample.meta, "grid": str(GRID)})
    assert asked in chosen.prompt(example, "direct")
    ideal = chosen.ideal(example, "direct")
    rewards = chosen.rewards_of(chosen.attempt(example, "direct", Completion(ideal)))
    assert "200" in ideal.partition(",")[0]
    assert rewards
    assert all(value == pytest.approx(1.0) for value in rewards.values()), rewards
