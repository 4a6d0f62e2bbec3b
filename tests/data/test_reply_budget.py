"""A budget that no model could write is noted before one is loaded."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest

from rftkit.data.examples import load_examples
from rftkit.data.reply_budget import budget_notes, context


@pytest.mark.parametrize(("tokens", "noted"), [(32, False), (2047, False), (2048, True)])
def test_a_budget_beyond_the_models_own_length_is_noted(tokens: int, noted: bool) -> None:
    recipe = fakes.recipe(method={"max_new_tokens": tokens})
    line = (
        "method.max_new_tokens = 2048 is as much as tiny was made for, prompt and images included "
        "(2048 tokens): lower it"
    )
    notes = budget_notes(recipe, training=load_examples(recipe, "train").examples)
    assert notes == ([line] if noted else [])


@pytest.mark.parametrize(("config", "tokens"), [
    ('{"max_position_embeddings": 8}', 8),
    ('{"text_config": {"max_position_embeddings": 9}, "max_position_embeddings": 8}', 9),
    ("{}", 0),
    ("[]", 0),
    ("{", 0),
    ('{"text_config": 5}', 0),
    ('{"max_position_embeddings": "many"}', 0),
    ("[" * 100_000, 0),
    (None, 0),
])  # fmt: skip
def test_what_a_folder_does_not_say_is_not_noted(
    tmp_path: Path, config: str | None, tokens: int
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert context(fakes.recipe(model={"name": str(tmp_path)})) == tokens
