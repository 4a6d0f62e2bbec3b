"""The recipes that come with rftkit, and the first one of a user's own."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

INSTALLED = Path(__file__).parents[1] / "recipes"  # inside the wheel
CHECKOUT = Path(__file__).parents[2] / "recipes"
STUDIES = "studies/"  # of either: a grid of runs, for `rftkit study`


def builtin_folder() -> Path:
    """Where the built-in recipes are: in the installed package, or in a checkout."""
    return INSTALLED if INSTALLED.is_dir() else CHECKOUT


def builtin_recipes() -> dict[str, Path]:
    """The built-in recipes by name, such as `quickstart`."""
    return {name: path for name, path in _builtin_files().items() if not name.startswith(STUDIES)}


def builtin_studies() -> dict[str, Path]:
    """The built-in studies by name, such as `does_thinking_help_tiny`."""
    files = _builtin_files().items()
    return {name.removeprefix(STUDIES): p for name, p in files if name.startswith(STUDIES)}


def find_recipe(argument: Path) -> Path:
    """The file that the user means: a path, or a built-in recipe by its name or usual path.

    The bare name of one is that one, whatever in the current folder is called so.
    Raises RecipeError, with the likeliest, for a bare name that is neither.
    """
    recipes = builtin_recipes()
    if argument.exists() and argument.as_posix() not in recipes:
        return argument
    name = argument.with_suffix("").as_posix().removeprefix("recipes/")
    if name in recipes or argument.suffix:
        return recipes.get(name, argument)
    files = {path.with_suffix("").as_posix(): path for path in argument.parent.glob("*.toml")}
    close = difflib.get_close_matches(argument.as_posix(), [*files, *recipes], 1)
    meant = str(files.get(close[0], close[0])) if close else ""
    hint = f"did you mean {meant!r}?" if close else "`rftkit recipes` lists the built-in ones"
    raise RecipeError(f"{argument}: neither a file nor a built-in recipe; {hint}")


def find_study(path: Path) -> Path:
    """The study file that the user means: a path, or a built-in study by its name.

    Raises RecipeError, with the likeliest, for a bare name that is neither.
    """
    studies = builtin_studies()
    if path.exists() and path.as_posix() not in studies:
        return path
    name = path.with_suffix("").as_posix().removeprefix("recipes/").removeprefix(STUDIES)
    if name in studies or path.suffix:
        return studies.get(name, path)
    close = difflib.get_close_matches(name, studies, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"built in: {', '.join(studies)}"
    raise RecipeError(f"{path}: neither a file nor a built-in study; {hint}")


def read_builtin(name: str) -> str:
    """The text of a built-in recipe or study. Raises RecipeError, with the likeliest, if none."""
    return _builtin(name).read_text("utf-8")


def copy_recipe(name: str, target: Path) -> Path:
    """Copy a built-in recipe to a file, or into a folder under its own name."""
    source = _builtin(name)
    return write_new(target / source.name if target.is_dir() else target, source.read_text("utf-8"))


def headline(path: Path) -> str:
    """The first comment line of a recipe: what it teaches."""
    first = path.read_text("utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip()


def show_recipes(console: Console) -> None:
    """Print the built-in recipes and what each teaches."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, path in builtin_recipes().items():
        table.add_row(Text(name, style="bold", no_wrap=True), Text(headline(path)))
    console.print(table)
    for line in (
        "start from one: rftkit recipes NAME --copy mine.toml",
        f"studies, for `rftkit study NAME`: {', '.join(builtin_studies())}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _builtin_files() -> dict[str, Path]:
    root = builtin_folder()
    files = sorted(root.rglob("*.toml"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in files}


def _builtin(name: str) -> Path:
    builtin = builtin_recipes() | builtin_studies()
    bare = name.removesuffix(".toml").removeprefix("recipes/").removeprefix(STUDIES)
    path = builtin.get(bare)
    if path is None:
        close = difflib.get_close_matches(name, builtin, 1, 0.4)
        hint = f"did you mean {close[0]!r}?" if close else "`rftkit recipes` lists them"
        raise RecipeError(f"{name}: no such built-in recipe; {hint}")
    return path


def write_new(path: Path, text: str) -> Path:
    """Write a file that is not there yet. Raises RecipeError if it is, or cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RecipeError(f"{path}: is there already; name another file (init: --out)") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be written ({error.strerror})") from None
    return path
