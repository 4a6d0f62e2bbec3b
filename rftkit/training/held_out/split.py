"""Which examples a run is measured on while it trains: a split of the data, or one fold of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from rftkit.core import Example
from rftkit.data.examples import Examples, load_examples
from rftkit.data.gold_check import with_gold_check
from rftkit.data.read_cache import ReadCache
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe
from rftkit.runs.calibration import Origin

MOST = 64  # examples: a check is to cost less than the steps between two of them
MOST_FITTED = 256  # examples that the temperature is fitted on, once
FOLD = 4  # one training example of so many is held out where there is no validation split


@dataclass(frozen=True)
class Validation:
    """What a run is measured on while it trains. every, patience: see `[eval]` of the recipe.

    every: 0 where nothing is measured, and the examples are for the temperature only. fitted_on:
    those of the temperature, which `examples` are among; none where the recipe has no list.
    """

    examples: tuple[Example, ...]
    every: int
    patience: int
    fitted_on: tuple[Example, ...] = ()
    origin: Origin = "split"


def held_out(recipe: Recipe, train_set: Examples) -> tuple[Examples, Validation | None]:
    """What is trained on, and what is measured on meanwhile; None where the recipe wants none.

    Without a validation split one fold of the training examples is taken out, of each class or
    kind. Raises DataError where none of them can be spared.
    """
    if recipe.eval.validation:
        return train_set, _of_split(recipe)
    if not recipe.eval.during:
        return train_set, None
    fold = _fold(train_set.examples, recipe.seed)
    if not fold:
        raise DataError(
            "eval.during: no class has two training examples, so none can be held out; name a "
            "split in eval.validation, or raise data.shots"
        )
    left = tuple(e for number, e in enumerate(train_set.examples) if number not in fold)
    chosen = [train_set.examples[number] for number in sorted(fold)]
    note = (
        f"eval.during: {len(chosen)} of {len(train_set.examples)} training examples are held out "
        "to choose a step by; eval.validation names a split instead"
    )
    notes = (*train_set.notes, note)
    drawn = tuple(random.Random(recipe.seed).sample(chosen, min(MOST, len(chosen))))
    rest = [example for example in chosen if example not in drawn]
    fitted_on = (*drawn, *rest)[:MOST_FITTED] if recipe.has_list else ()
    validation = Validation(drawn, recipe.eval.during, recipe.eval.patience, fitted_on, "fold")
    return replace(train_set, examples=left, notes=notes), validation


def _of_split(recipe: Recipe) -> Validation:
    """The split that eval.validation names."""
    settings, cache = recipe.eval, ReadCache()

    def loaded(limit: int) -> tuple[Example, ...]:
        found = load_examples(recipe, settings.validation, limit=limit, cache=cache)
        return with_gold_check(recipe, found, settings.validation, recipe.style).examples

    fitted_on = loaded(MOST_FITTED) if recipe.has_list else ()
    return Validation(loaded(MOST), settings.during, settings.patience, fitted_on)


def _fold(examples: Sequence[Example], seed: int) -> set[int]:
    """The places of one in FOLD of each category, one at least where it has two."""
    places: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        places.setdefault(example.category, []).append(number)
    draw, fold = random.Random(seed), set[int]()
    for category in sorted(places):
        members = places[category]
        if len(members) > 1:
            fold |= {*draw.sample(members, ceil(len(members) / FOLD))}
    return fold
