"""A recipe with absolute paths, so that its run can be evaluated from any folder."""

from __future__ import annotations

from pathlib import Path

from rftkit.recipe.schema import BUILT_IN, CUSTOM_REWARD, Recipe
from rftkit.tasks.options import LabelOptions


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that its run can be evaluated from any folder."""
    data = recipe.data
    paths = {"path": data.path, "images": data.images}
    absolute = {
        key: str(Path(value).expanduser().resolve())
        for key, value in paths.items()
        if value and _is_file_path(data.source, value)
    }
    update: dict[str, object] = {"data": data.model_copy(update=absolute)}
    update["rewards"] = {
        str(Path(name).expanduser().resolve()) if CUSTOM_REWARD.fullmatch(name) else name: weight
        for name, weight in recipe.rewards.items()
    }
    options = recipe.options
    if isinstance(options, LabelOptions) and options.names.endswith(".csv"):
        names = str(Path(options.names).expanduser().resolve())
        update["options"] = options.model_copy(update={"names": names})
    return recipe.model_copy(update=update)


def _is_file_path(source: str, value: str) -> bool:
    """Whether it names a file or folder: a hub id does not, unless there is such a folder."""
    if source == "hub":
        return Path(value).expanduser().exists()
    return source not in BUILT_IN
