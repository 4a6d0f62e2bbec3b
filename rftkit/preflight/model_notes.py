"""What `rftkit check` says of a model of which nothing is declared."""

from __future__ import annotations

from rftkit.model_info.families import architecture_of, family_of
from rftkit.recipe.sections import Model


def model_notes(model: Model) -> tuple[str, ...]:
    """Nothing for a model of a known family; else what is unknown, and what is done about it."""
    if family_of(model).known:
        return ()
    kind = architecture_of(model)
    named = f" (architecture {kind!r})" if kind else ""
    return (
        f"model.name: {model.name!r}{named} is of no family that rftkit knows: prompts are not "
        "shared, and images are resized as its own processor does, whatever model.max_pixels says; "
        "docs/models.md lists those that are known",
    )
