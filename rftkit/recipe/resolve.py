"""Where the files of a recipe are: beside it, from any folder, and after they have moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rftkit.recipe.schema import BUILT_IN, CUSTOM_REWARD, Recipe
from rftkit.tasks.options import LabelOptions

Move = Callable[[str], str]
SPLIT = "{split}"


def beside(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tables of a recipe file in `folder`, with paths that count from the current folder.

    A relative path is that of a file beside the recipe if there is one, else it stays as it is.
    Values of another type than a path stay too, for whoever checks them.
    """

    def moved(value: object) -> object:
        if not isinstance(value, str) or not value:
            return value
        path = Path(value)
        if path.is_absolute() or value.startswith("~") or not _is_in(folder, path):
            return value
        return str(folder / path)

    found = dict(table)
    data = found.get("data")
    if isinstance(data, Mapping) and data.get("source", "folder") not in BUILT_IN:
        keys = {"images"} if data.get("source") == "hub" else {"path", "images"}
        found["data"] = {key: moved(v) if key in keys else v for key, v in data.items()}
    if isinstance(rewards := found.get("rewards"), Mapping):
        own = {name for name in rewards if CUSTOM_REWARD.fullmatch(name)}
        found["rewards"] = {str(moved(n)) if n in own else n: w for n, w in rewards.items()}
    options = found.get("options")
    if isinstance(options, Mapping):
        keys = {"schema_file"} | (
            {"names"} if str(options.get("names")).endswith(".csv") else set()
        )
        found["options"] = {key: moved(v) if key in keys else v for key, v in options.items()}
    return found


def _is_in(folder: Path, path: Path) -> bool:
    """Whether a folder holds what a path begins with, such as the archive that it leads into."""
    steps = [part for part in path.parts if part != os.curdir]
    up = sum(1 for part in steps if part == os.pardir)
    first = Path(*steps[: up + 1]) if steps else Path()
    if CUSTOM_REWARD.fullmatch(str(first)):
        first = Path(str(first).rpartition(":")[0])
    pattern = first.name.replace(SPLIT, "*")
    return any((folder / first).parent.glob(pattern)) if pattern else folder.is_dir()


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that its run can be evaluated from any folder."""
    return _with_paths(recipe, lambda value: str(Path(value).expanduser().resolve()))


def without_places(recipe: Recipe) -> Recipe:
    """The recipe without the folders of its data, rewards and names.

    Two are equal if they differ in where files are; what is in the files is compared by hashes.
    """
    plain = _with_paths(recipe, lambda value: Path(value).name)
    if not _is_file_path(plain.data.source, recipe.data.path):
        return plain
    data = plain.data.model_copy(update={"path": "", "images": ""})
    return plain.model_copy(update={"data": data})


def portable(recipe: Recipe) -> Recipe:
    """The recipe as it may leave this machine: of each path, that of the base model too, the name.

    It still says what was trained and how; where files lay is nobody else's business.
    """
    named = _with_paths(recipe, _name_of)
    data, model = named.data, named.model
    paths = {key: _if_local(value) for key, value in (("path", data.path), ("images", data.images))}
    model = model.model_copy(update={"name": _if_local(model.name)})
    return named.model_copy(update={"data": data.model_copy(update=paths), "model": model})


def _name_of(value: str) -> str:
    return Path(value).name or "data"  # the root has no name, and a path may not be empty


def _if_local(value: str) -> str:
    """The name of what can only be a path, or is one here; a hub id as it is."""
    local = value.startswith(("/", "~", ".")) or (value != "" and Path(value).exists())
    return _name_of(value) if local else value


def own_files(recipe: Recipe) -> list[Path]:
    """The files of the user's that decide a run beside its data: rewards, and names of labels."""
    own = [n.rpartition(":")[0] for n in recipe.rewards if CUSTOM_REWARD.fullmatch(n)]
    options = recipe.options
    if isinstance(options, LabelOptions) and options.names.endswith(".csv"):
        own.append(options.names)
    return [Path(name) for name in sorted(set(own))]


def moved_along(recipe: Recipe, was: Path, now: Path) -> Recipe:
    """The recipe of a run that moved from one folder to another, and its data with it.

    A path that leads nowhere any more is replaced by the one that is as far from the new folder as
    it was from the old one, if there is something.
    """

    def leads(value: str) -> bool:
        place = Path(value.replace(SPLIT, recipe.data.test_split))
        return place.exists() or any(parent.is_file() for parent in place.parents)  # an archive

    def move(value: str) -> str:
        if leads(value) or not Path(value).is_absolute():
            return value
        found = os.path.normpath(now / os.path.relpath(value, was))
        return found if leads(found) else value

    return _with_paths(recipe, move)


def _with_paths(recipe: Recipe, move: Move) -> Recipe:
    """The recipe with all its absolute or relative paths of files replaced."""
    data = recipe.data
    paths = {"path": data.path, "images": data.images}
    moved = {
        key: move(value)
        for key, value in paths.items()
        if value and _is_file_path(data.source, value)
    }
    update: dict[str, object] = {"data": data.model_copy(update=moved)}
    update["rewards"] = {
        _moved_reward(name, move) if CUSTOM_REWARD.fullmatch(name) else name: weight
        for name, weight in recipe.rewards.items()
    }
    options = recipe.options
    if isinstance(options, LabelOptions) and options.names.endswith(".csv"):
        update["options"] = options.model_copy(update={"names": move(options.names)})
    return recipe.model_copy(update=update)


def _moved_reward(name: str, move: Move) -> str:
    file, _, function = name.rpartition(":")
    return f"{move(file)}:{function}"


def _is_file_path(source: str, value: str) -> bool:
    """Whether it names a file or folder: a hub id does not, unless there is such a folder."""
    if source == "hub":
        return Path(value).expanduser().exists()
    return source not in BUILT_IN
