"""The study file, and the grid of runs that it asks for."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar, get_args

from pydantic import Field, ValidationError, field_validator

from rftkit.errors import RecipeError
from rftkit.recipe.builtin import find_recipe
from rftkit.recipe.resolve import with_absolute_paths
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Section
from rftkit.recipe.toml import load_recipe, read_text

T = TypeVar("T")
Some = Annotated[Sequence[T], Field(min_length=1, max_length=100)]
Few = Annotated[Sequence[T], Field(max_length=100)]
StyleName = Literal["think", "direct", "answer-first", "adaptive"]
MethodName = Literal["grpo", "sft", "exact"]
AXES = {  # key of a recipe -> the key of the study that varies it
    "style": "styles",
    "seed": "seeds",
    "method.kind": "methods",
    "data.shots": "shots",
}
LARGEST = 2000  # cells


class Study(Section):
    """A grid of runs: recipes × styles × methods × shots × seeds."""

    recipes: Some[str] = Field(description="recipes, by name or path; each is one data set")
    styles: Some[StyleName] = Field(default=("think", "direct"), description="reply styles")
    methods: Few[MethodName] = Field(
        default=(), description="grpo, sft, exact; none: the recipe's own"
    )
    shots: Few[Annotated[int, Field(ge=0, le=100_000)]] = Field(
        default=(), description="training images per class; none: the recipe's own"
    )
    seeds: Some[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        default=(0, 1, 2), description="each cell is run once per seed"
    )
    set: Mapping[str, object] = Field(
        default={}, description='changes to every recipe, e.g. `"method.steps" = 60`'
    )
    only: Mapping[str, Mapping[str, object]] = Field(
        default={}, description="changes to one style or method, e.g. a table `[only.direct]`"
    )
    tested_on: Literal["own", "all"] = Field(
        default="own", description="all: each adapter is tested on the other recipes' images too"
    )

    @field_validator("recipes", "styles", "methods", "shots", "seeds")
    @classmethod
    def _each_once(cls, value: Sequence[object]) -> tuple[object, ...]:
        twice = [item for item in value if list(value).count(item) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is there twice; name it once")
        return tuple(value)

    @field_validator("set")
    @classmethod
    def _settable(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        return _checked(value)

    @field_validator("only")
    @classmethod
    def _known_parts(
        cls, value: Mapping[str, Mapping[str, object]]
    ) -> Mapping[str, Mapping[str, object]]:
        names = (*get_args(StyleName), *get_args(MethodName))
        for name in value:
            if name not in names:
                raise ValueError(f"{name!r} is no style or method; known: {', '.join(names)}")
        return {name: _checked(changes) for name, changes in value.items()}


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    wanted: the whole recipe, every override applied. point: method and shots as the study varies
    them, None where the recipe decides; cells of one point are comparable across data sets.
    """

    dataset: str
    path: Path
    overrides: tuple[str, ...]
    wanted: Recipe
    point: tuple[MethodName | None, int | None] = (None, None)

    @property
    def name(self) -> str:
        """The folder of its run. Every axis is in it, so a study can be extended later."""
        recipe = self.wanted
        shots = f"{recipe.data.shots}shot" if recipe.data.shots else "allshot"
        parts = (self.dataset, recipe.style, recipe.method.kind, shots, f"seed{recipe.seed}")
        return "-".join(parts)


def load_study(path: Path) -> Study:
    """The study in a file. Raises RecipeError with one line: where, what, how to fix it."""
    text = read_text(path)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    try:
        return Study.model_validate(table)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_explain(error)}") from None


def cells(study: Study, location: Path) -> list[Cell]:
    """The grid in the order in which it is run: every setting once with a seed, then the next seed.

    Raises RecipeError, naming the cell, for a recipe that is not found or cannot work so.
    """
    paths = [find_recipe(Path(name)) for name in study.recipes]
    stems = [path.stem for path in paths]
    if twice := [stem for stem in stems if stems.count(stem) > 1]:
        raise RecipeError(f"{location}: recipes: two are called {twice[0]!r}; rename one file")
    methods: Sequence[MethodName | None] = study.methods or (None,)
    shots: Sequence[int | None] = study.shots or (None,)
    grid = [
        point
        for point in product(study.seeds, paths, shots, methods, study.styles)
        if point[3] != "exact" or point[4] == "direct"  # the other styles have no closed list
    ]
    if not grid:
        raise RecipeError(f"{location}: methods: 'exact' runs in style \"direct\" alone; add it")
    if len(grid) > LARGEST:
        raise RecipeError(f"{location}: {len(grid)} runs; a study has at most {LARGEST}, split it")
    return [_cell(study, _Point(*point), location) for point in grid]


def flat_changes(changes: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Changes by dotted key, whether written `"method.steps" = 60` or `method.steps = 60`."""
    flat: dict[str, object] = {}
    for key, value in changes.items():
        if isinstance(value, dict):
            flat |= flat_changes(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


class _Point(NamedTuple):
    """A point of the grid; None where the recipe decides."""

    seed: int
    path: Path
    shots: int | None
    method: MethodName | None
    style: StyleName


def _cell(study: Study, point: _Point, location: Path) -> Cell:
    seed, path, shots, method, style = point
    axes = {"style": style, "seed": seed, "data.shots": shots, "method.kind": method}
    own = load_recipe(path).method.kind
    changes = flat_changes(study.set)
    changes |= flat_changes(study.only.get(method or own, {}))
    changes |= flat_changes(study.only.get(style, {}))
    changes |= {key: value for key, value in axes.items() if value is not None}
    overrides = tuple(f"{key}={_spelled(value)}" for key, value in changes.items())
    try:
        wanted = with_absolute_paths(load_recipe(path, overrides))
    except RecipeError as error:
        raise RecipeError(f"{location}: style {style!r}, seed {seed}: {error}") from None
    return Cell(path.stem, path, overrides, wanted, (method, shots))


def _spelled(value: object) -> str:
    """A value as TOML; JSON spells numbers, texts, booleans and lists of them alike."""
    return json.dumps(value, ensure_ascii=False)


def _checked(changes: Mapping[str, object]) -> Mapping[str, object]:
    for key, value in flat_changes(changes).items():
        if key in AXES:
            raise ValueError(f"{key!r} varies with `{AXES[key]}`; give it there")
        if not isinstance(value, (bool, int, float, str, list)):
            raise ValueError(f"{key!r}: {value!r} is no number, text, boolean or list of them")
    return changes


def _explain(error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    unknown = [one for one in errors if one["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]  # a key that is missing is likely the one that is misspelt
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(where, Study.model_fields, 1, 0.5)
        fields = f"known: {', '.join(Study.model_fields)}"
        return f"{where}: unknown key; " + (f"did you mean {close[0]!r}?" if close else fields)
    if first["type"] == "missing":
        return f'{where}: missing; name at least one recipe, e.g. {where} = ["quickstart"]'
    if first["type"] == "too_short":
        return f"{where}: empty; name at least one"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if first["type"] == "value_error" else f", not {first['input']!r}"[:70]
    return f"{where}: {message}{shown}"
