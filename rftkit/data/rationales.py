"""What a person should know of the rationales that a recipe imitates."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.core import Example
from rftkit.recipe.schema import Recipe


def rationale_notes(recipe: Recipe, examples: Sequence[Example]) -> tuple[str, ...]:
    """One note where a warm-up has answers alone to imitate in a style that is paid for more."""
    if not recipe.method.warmup.steps or recipe.style in ("direct", "adaptive"):
        return ()
    bare = sum(not example.rationale for example in examples)
    if not bare:
        return ()
    return (
        f"method.warmup: {bare} of {len(examples)} training examples have no rationale, so their "
        f"answers alone are imitated, which is not the format of style {recipe.style!r}; "
        "`rftkit rationales` writes some",
    )
