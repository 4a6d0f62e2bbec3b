"""What <TAB> offers: recipes, keys of a recipe, runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

ADAPTER, SAMPLES = "adapter_config.json", "samples.jsonl"
PLAIN = set("./+-_@:,")  # beside letters and digits


def recipes(incomplete: str) -> list[str]:
    """Built-in recipes, and recipe files and folders on the way to them."""
    from rftkit.recipe.builtin import builtin_recipes

    return [*_starting(builtin_recipes(), incomplete), *_paths(incomplete, ".toml")]


def studies(incomplete: str) -> list[str]:
    """Built-in studies, and files and folders on the way to them."""
    from rftkit.recipe.builtin import builtin_studies

    return [*_starting(builtin_studies(), incomplete), *_paths(incomplete, ".toml")]


def overrides(incomplete: str) -> list[str]:
    """Keys of a recipe, each with its `=`; after it the values of a key that has few."""
    from rftkit.recipe.toml import leaf_keys

    key, sign, value = incomplete.partition("=")
    if not sign:
        return [f"{name}=" for name in _starting(leaf_keys(), key)]
    return [f"{key}={one}" for one in _starting(_values(key), value)]


def runs(incomplete: str) -> list[str]:
    """Runs and adapters, and folders on the way to them."""
    return [*_paths(incomplete, None)]


def evaluated(incomplete: str) -> list[str]:
    """Runs, adapters and folders of evaluations, and folders on the way to them."""
    return [*_paths(incomplete, None, SAMPLES)]


def _starting(names: object, incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]  # type: ignore[attr-defined]


def _values(key: str) -> list[str]:
    """The values of a key that has a closed list of them."""
    from rftkit.recipe.schema import Recipe

    model: object = Recipe
    for part in key.split("."):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return []
        model = fields[part].annotation
    if model is bool:
        return ["true", "false"]
    return [value for value in get_args(model) if isinstance(value, str)]


def _paths(incomplete: str, suffix: str | None, whole_with: str = ADAPTER) -> Iterator[str]:
    """Folders, and files of a suffix; without one folders alone, runs first.

    whole_with: a folder that holds such a file is what is looked for, as a run or adapter is.
    """
    from rftkit.runs.run import is_run

    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") or not incomplete else typed.parent
    start = "" if folder == typed else typed.name
    try:
        entries = sorted(p for p in folder.expanduser().iterdir() if p.name.startswith(start))
    except OSError:
        return
    shown = [path for path in entries if not path.name.startswith(".") or start.startswith(".")]
    for path in sorted(shown, key=lambda path: not is_run(path)):
        name = str(folder / path.name)
        if not _plain(name):
            continue
        if path.is_dir():
            marks = {ADAPTER, whole_with}
            whole = suffix is None and (is_run(path) or any((path / m).is_file() for m in marks))
            yield name if whole else f"{name}/"
        elif suffix and path.suffix == suffix:
            yield name


def _plain(name: str) -> bool:
    """Whether a shell takes a name as it is: bash quotes nothing of it, and zsh evaluates it."""
    rest = name.removeprefix("~/")
    return not name.startswith("-") and all(one.isalnum() or one in PLAIN for one in rest)
