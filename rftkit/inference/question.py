"""Build unlabelled examples from what was asked of an image that nobody labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rftkit.core import Example, LazyImage
from rftkit.errors import UserError
from rftkit.recipe.schema import Recipe
from rftkit.tasks import get_task
from rftkit.tasks.question import Question, Trained, Unlabelled
from rftkit.tasks.task import Task

ExampleOf = Callable[[LazyImage], Example]


def prompts(recipe: Recipe, labels: Sequence[str], question: Question) -> list[ExampleOf]:
    """For each prompt that every image gets, a function that builds the image's example.

    labels: those that the model was trained with. Raises UserError if the task needs a question,
    options or categories that are missing, or cannot use those that are given.
    """
    task = get_task(recipe.task)
    _refuse(question, task)
    offers = recipe.data.choices != "none"
    trained = Trained(recipe.options, tuple(labels), recipe.data.question, offers)
    return [_example(one) for one in task.form.prompts(trained, question)]


def needs_question(recipe: Recipe, labels: Sequence[str]) -> bool:
    """Whether a person has to say what is asked of an image; the other tasks ask their own."""
    try:
        prompts(recipe, labels, Question())
    except UserError:
        return True
    return False


def _refuse(question: Question, task: Task) -> None:
    takes, name = task.form.takes, task.name
    if question.options and "options" not in takes:
        raise UserError(f"--option: this model's task is {name!r}, which offers none; leave it out")
    if question.categories and "categories" not in takes:
        raise UserError(f"--ask: this model's task is {name!r}, which takes none; leave it out")
    if not all(category.strip() for category in question.categories):
        raise UserError("--ask: empty; name what to look for, or leave it out")
    if question.text and "text" not in takes:
        named = "categories" in takes
        instead = "name what to look for with --ask" if named else "leave it out"
        raise UserError(f"--question: the task {name!r} asks its own; {instead}")


def _example(asked: Unlabelled) -> ExampleOf:
    def example_of(image: LazyImage) -> Example:
        return Example(
            id=image.name,
            image=image,
            question=asked.question,
            gold="",
            choices=asked.choices,
            labels=asked.labels,
            category=asked.category,
            meta=asked.meta,
        )

    return example_of
