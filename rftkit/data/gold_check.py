"""The examples of a recipe, once it is checked that every gold answer earns full marks.

Each gold answer is written as the ideal reply in the style of the run, parsed and scored as a
model's reply would be. A label that is lost on the way stops the command, before a model is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rftkit import tasks
from rftkit.core import Completion, Example, Style
from rftkit.data.examples import Examples, load_examples
from rftkit.data.read_cache import ReadCache
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe
from rftkit.tasks.task import Task


class CheckedSplits(NamedTuple):
    """The examples to train on and the held-out ones."""

    training: Examples
    test: Examples


def load_checked_splits(recipe: Recipe) -> CheckedSplits:
    """Both splits of a recipe, each file read once, after the gold check.

    Raises DataError as `with_gold_check` does, and if the recipe has no training split.
    """
    train = recipe.data.train_split
    if not train:
        raise DataError(
            "data.splits: the training split has no name, so there is nothing to train on; test "
            "with it: rftkit eval --ckpt RUN --data RECIPE"
        )
    cache = ReadCache()
    examples = load_examples(recipe, train, cache=cache)
    training = with_gold_check(recipe, examples, train, recipe.style)
    return CheckedSplits(training, load_checked_test(recipe, cache))


def load_checked_test(recipe: Recipe, cache: ReadCache | None = None) -> Examples:
    """The held-out split of a recipe, at most `eval.limit` images, after the gold check."""
    test = recipe.data.test_split
    examples = load_examples(recipe, test, limit=recipe.eval.limit, cache=cache)
    return with_gold_check(recipe, examples, test, recipe.style)


def with_gold_check(recipe: Recipe, examples: Examples, split: str, style: Style) -> Examples:
    """The same examples, with a note about boxes that are too small to write as text.

    Raises DataError for the first gold answer that does not earn full marks; see `gold_check`.
    """
    task = tasks.get_task(recipe.task)
    coarse = [e.id for e in examples.examples if not gold_check(task, e, style)]
    if not coarse:
        return examples
    note = (
        f"split {split!r}: in {len(coarse)} of {len(examples.examples)} examples, such as "
        f"{coarse[0]!r}, boxes are smaller than one coordinate unit, so even the gold answer has "
        "IoU below 0.5; raise model.max_pixels if that shrinks the image, or take such boxes out"
    )
    return replace(examples, notes=(*examples.notes, note))


def gold_faults(recipe: Recipe, examples: Examples) -> list[str]:
    """A line for every gold answer that does not earn full marks in the recipe's style."""
    task, faults = tasks.get_task(recipe.task), list[str]()
    for example in examples.examples:
        try:
            gold_check(task, example, recipe.style)
        except DataError as error:
            faults.append(str(error))
    return faults


def gold_check(task: Task, example: Example, style: Style) -> bool:
    """True if the gold answer earns what it must (`Task.min_gold_reward`) in this style.

    False if it earns less only because box coordinates are rounded to whole units. Raises
    DataError if it earns less for any other reason.
    """
    attempt = task.attempt(example, style, Completion(task.ideal(example, style)))
    rewards, is_exact = task.rewards_of(attempt), True
    for name, needed in ((task.headline, task.min_gold_reward), ("format", 1.0)):
        if (value := rewards.get(name, 1.0)) >= needed:
            continue
        if name == task.headline and task.rounded(attempt):
            is_exact = False
            continue
        raise DataError(
            f"{example.location}: the gold answer {task.written(example)[:200]!r} scores {name} "
            f"{value:g} (needs {needed:g}) in style {style!r}; fix the label or the rationale"
        )
    return is_exact
