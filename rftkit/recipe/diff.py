"""What two recipes differ in, key by key."""

from __future__ import annotations

from rftkit.recipe.schema import Recipe


def flat(recipe: Recipe) -> dict[str, object]:
    """The recipe's values by dotted key."""

    def walk(prefix: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            return {prefix: value}
        inner = [walk(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
        return {key: item for part in inner for key, item in part.items()}

    return walk("", recipe.model_dump(mode="json"))
