"""Examples whose own answers earn full marks, as a run trains on them and is tested on them."""

from __future__ import annotations

from dataclasses import replace

from rftkit import tasks
from rftkit.core import Completion, Example, Style
from rftkit.data.examples import Examples, load_examples
from rftkit.errors import DataError
from rftkit.recipe import Recipe
from rftkit.tasks.task import Task


def load_both(recipe: Recipe) -> tuple[Examples, Examples]:
    """The training and the held-out examples; every gold answer has earned full marks."""
    if not recipe.data.train_split:
        raise DataError(
            "data.splits: the training split has no name, so there is nothing to train on; test "
            "with it: rftkit eval --ckpt RUN --data RECIPE"
        )
    train = recipe.data.train_split
    training = gold_checked(recipe, load_examples(recipe, train), train, recipe.style)
    return training, load_held_out(recipe)


def load_held_out(recipe: Recipe) -> Examples:
    """The held-out examples; every gold answer has earned full marks."""
    test = recipe.data.test_split
    found = load_examples(recipe, test, limit=recipe.eval.limit)
    return gold_checked(recipe, found, test, recipe.style)


def gold_checked(recipe: Recipe, found: Examples, split: str, style: Style) -> Examples:
    """The same, with a note where text is too coarse for a box. Raises as `gold_check` does."""
    task = tasks.by_name(recipe.task)
    coarse = [e.id for e in found.examples if not gold_check(task, e, style)]
    if not coarse:
        return found
    note = (
        f"split {split!r}: in {len(coarse)} of {len(found.examples)} examples, such as "
        f"{coarse[0]!r}, boxes are so small that whole units lose half of them, and no answer is "
        "right; raise model.max_pixels if that shrinks the picture, or take such boxes out"
    )
    return replace(found, notes=(*found.notes, note))


def gold_check(task: Task, example: Example, style: Style) -> bool:
    """Whether the example's own answer, in this style, earns what it must.

    False if nothing but writing its boxes in whole units costs more. Raises DataError for any
    other gold answer that does not earn it.
    """
    attempt = task.attempt(example, style, Completion(task.ideal(example, style)))
    parts, whole = task.parts(attempt), True
    for name, least in ((task.headline, task.least), ("format", 1.0)):
        if (value := parts.get(name, 1.0)) >= least:
            continue
        if name == task.headline and task.rounded(attempt):
            whole = False
            continue
        raise DataError(
            f"{example.place}: its own answer {task.written(example)[:200]!r} earns {name} "
            f"{value:g}, not {least:g}, in style {style!r}; mend the label or the rationale"
        )
    return whole
