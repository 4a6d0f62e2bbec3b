"""What two recipes differ in, key by key."""

from __future__ import annotations

from rftkit.recipe.schema import Recipe


def differences(now: Recipe, before: Recipe, ignore: tuple[str, ...] = ()) -> list[str]:
    """`key is …, was …` for each value that differs, but for keys that begin with one of `ignore`.

    An empty list: they are the same.
    """
    ours, theirs = by_dotted_key(now), by_dotted_key(before)
    return [
        f"{key} is {ours.get(key)!r}, was {theirs.get(key)!r}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key) and not key.startswith(ignore)
    ]


def by_dotted_key(recipe: Recipe) -> dict[str, object]:
    """Every value of a recipe: `method.steps` -> 200."""

    def walk(prefix: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            return {prefix: value}
        inner = [walk(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
        return {key: item for part in inner for key, item in part.items()}

    return walk("", recipe.model_dump(mode="json"))
