"""Reading a recipe from TOML: one clear line for whatever is wrong with it."""

from __future__ import annotations

import difflib
import math
import tomllib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rftkit.errors import RecipeError
from rftkit.recipe.resolve import beside
from rftkit.recipe.schema import Recipe
from rftkit.rewards.length import Length

LARGEST_BYTES = 256 * 1024
DEEPEST_KEY = 8

ODD = {"Cc": "control character", "Cs": "character that is no text"}
_CONTROLS = {chr(number) for number in (*range(1, 32), *range(127, 160))}

Table = dict[str, Any]


class _Odd(NamedTuple):
    """A character that does not belong into a recipe: the dotted key, and what it is."""

    where: str
    what: str


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, with `key=value` overrides applied as if they stood in it.

    Relative paths in the file count from its folder, those of overrides from the current one.
    Raises RecipeError with one line: where, what, with which value, and how to fix it.
    """
    table = beside(_parse(read_text(path), str(path)), path.parent)
    return _validated(table, str(path), overrides)


def parse_recipe(text: str, location: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a text; `location` is what errors call it."""
    return _validated(_parse(text, location), location, overrides)


def _validated(table: Table, location: str, overrides: Sequence[str]) -> Recipe:
    for override in overrides:
        _apply(table, override)
    if odd := _odd_character(table):
        raise RecipeError(f"{location}: {odd.where}: holds a {odd.what}; remove it")
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError(f"{location}: {_explain(error)}") from None


def read_text(path: Path) -> str:
    """The text of a recipe file; a byte order mark and Windows line ends are fine."""
    if path.is_dir():
        raise RecipeError(f"{path}: is a folder; name a recipe file such as {path}/recipe.toml")
    if path.exists() and not path.is_file():  # a pipe may never end, nor begin
        raise RecipeError(f"{path}: is no file; save the recipe into one")
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)  # not read_bytes: a device has no end
    except FileNotFoundError:
        raise RecipeError(f"{path}: not found{_nearby(path)}") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    if len(raw) > LARGEST_BYTES:
        raise RecipeError(f"{path}: too large; a recipe has at most {LARGEST_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start}"
        raise RecipeError(f"{path}: {where} is not UTF-8; save the file as UTF-8") from None


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as TOML, every default written out: load(dump(r)) == r."""
    import tomli_w

    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def leaf_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """Every key a recipe may hold, dotted."""
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.model_fields:
            keys += leaf_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _parse(text: str, location: str) -> Table:
    deep = next((line for line in text.splitlines() if _dots(line) > DEEPEST_KEY), None)
    if deep is not None:
        raise RecipeError(f"{location}: a key has more than {DEEPEST_KEY} parts: {deep[:40]!r}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{location}: not valid TOML: {error}") from None
    except (RecursionError, ValueError) as error:
        raise RecipeError(f"{location}: not a recipe: {type(error).__name__}: {error}") from None


def _odd_character(value: object, where: str = "") -> _Odd | None:
    """The first that no terminal, file or prompt should meet, in a name or a text; None for none.

    Bytes of the command line that are no UTF-8 come as halves of surrogate pairs.
    """
    if isinstance(value, str):
        fine = "\n\t" if where != "data.path" else _CONTROLS  # a folder may be called so
        kinds = {unicodedata.category(c) for c in value if c not in fine}
        return next((_Odd(where, what) for kind, what in ODD.items() if kind in kinds), None)
    pairs = list[tuple[str, object]]()
    if isinstance(value, dict):
        for key, held in value.items():
            name = f"{where}.{key}".lstrip(".")
            pairs += [(name, str(key)), (name, held)]
    elif isinstance(value, list | tuple):
        pairs += [(where, held) for held in value]
    inside = (_odd_character(held, name) for name, held in pairs)
    return next((odd for odd in inside if odd), None)


def _dots(line: str) -> int:
    return line.split("#", 1)[0].split("=", 1)[0].count(".")


def _apply(table: Table, override: str) -> None:
    key, sign, value = override.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts) or len(parts) > DEEPEST_KEY:
        raise RecipeError(f"--set {override}: not of the form key=value, e.g. method.steps=50")
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {override}: {part!r} is not a table")
    table[parts[-1]] = _value(value.strip())


def _value(text: str) -> object:
    """The TOML value that `text` spells; text that is no TOML value stands for itself."""
    try:
        return tomllib.loads(f"x = {text}")["x"] if "\n" not in text else text
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"] if part != "[key]"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ValidationError):  # of the options, which are read by their task
        first = cause.errors(include_url=False)[0]
        parts += [str(part) for part in first["loc"]][:1]
        cause = first.get("ctx", {}).get("error")
    unions = ("literal[", "constrained-", "tuple[")
    parts = [part for part in parts if not part.startswith(unions)]
    where = ".".join(parts)
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key{_did_you_mean(parts)}"
    if first["type"] == "value_error":  # our own validators name the key themselves
        return str(cause)
    return f"{where}: {_plain(first)}, not {_shown(first['input'])}"


def _plain(error: ErrorDetails) -> str:
    if error["type"] == "model_type":
        return "should be a table"
    message = error["msg"].removeprefix("Input ")
    return message[0].lower() + message[1:]


def _shown(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _did_you_mean(parts: Sequence[str]) -> str:
    keys = [*leaf_keys(), *(f"method.length.{name}" for name in Length.model_fields)]
    depth, key_paths = len(parts), [key.split(".") for key in keys]
    elsewhere = [".".join(key) for key in key_paths if key[-1] == parts[-1]]
    if elsewhere:
        return f"; did you mean {elsewhere[0]!r}?"
    here = {k[depth - 1] for k in key_paths if len(k) >= depth and k[: depth - 1] == [*parts[:-1]]}
    close = difflib.get_close_matches(parts[-1], here, 1, 0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(sorted(here))}" if here else ""


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return "; its folder does not exist"
    names = [p.name for p in path.parent.glob("*.toml") if p.exists()]
    close = difflib.get_close_matches(path.name, names, 1)
    if close:
        return f"; did you mean {path.parent / close[0]}?"
    return "; `rftkit recipes` lists the built-in ones"
