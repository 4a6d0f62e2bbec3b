"""Build unlabelled examples from the options of `rftkit predict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rftkit.core import Example, LazyImage, Row
from rftkit.errors import UserError
from rftkit.recipe.schema import Recipe
from rftkit.tasks import by_name, choice, detection, grounding, number
from rftkit.tasks.options import ChoiceOptions, DetectionOptions
from rftkit.tasks.task import Reading, Unseen

ExampleOf = Callable[[LazyImage], Example]


@dataclass(frozen=True)
class Question:
    """The question of `rftkit predict`.

    text: a question, or the phrase of grounding. options: of a multiple choice. kinds: categories
    of object to detect. What a task does not take is empty.
    """

    text: str = ""
    options: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


def prompts(recipe: Recipe, labels: Sequence[str], question: Question) -> list[ExampleOf]:
    """For each prompt that every image gets, a function that builds the image's example.

    labels: those that the model was trained with. Raises UserError if the task needs a question,
    options or kinds that are missing, or cannot use those that are given.
    """
    task = recipe.task
    _refuse(question, task)
    if task == "detection":
        return _detection(recipe, tuple(filter(None, labels)), question)
    if task == "grounding":
        return [_grounding(recipe, question)]
    if task == "choice":
        return [_choice(recipe, question)]
    if task == "number":
        meta = {"asked": question.text} if question.text else {}
        return [_example(_filled(recipe, question.text or number.QUESTION), meta=meta)]
    choices = () if recipe.data.choices == "none" else tuple(labels)
    text = recipe.data.question or by_name(task).sample.question
    return [_example(text, choices=choices, labels=tuple(labels))]


def needs_question(recipe: Recipe, labels: Sequence[str]) -> bool:
    """Whether a person has to say what is asked of an image; the other tasks ask their own."""
    try:
        prompts(recipe, labels, Question())
    except UserError:
        return True
    return False


def _refuse(question: Question, task: str) -> None:
    if question.options and task != "choice":
        raise UserError(f"--option: this model's task is {task!r}, which offers none; leave it out")
    if question.kinds and task != "detection":
        raise UserError(f"--ask: this model's task is {task!r}, not 'detection'; leave it out")
    if not all(kind.strip() for kind in question.kinds):
        raise UserError("--ask: empty; name what to look for, or leave it out")
    if question.text and task in ("classification", "detection"):
        instead = "; name what to look for with --ask" if task == "detection" else ""
        raise UserError(f"--question: the task {task!r} asks its own{instead or '; leave it out'}")


def _detection(recipe: Recipe, known: tuple[str, ...], question: Question) -> list[ExampleOf]:
    kinds = question.kinds or known
    if not kinds:
        raise UserError("the task 'detection' needs what to look for; give --ask NAME")
    assert isinstance(recipe.options, DetectionOptions)
    if recipe.options.ask == "picture":
        text = _filled(recipe, detection.QUESTION_ALL)
        return [_example(text, choices=kinds, meta=_boxed(", ".join(kinds)))]
    return [
        _example(
            _filled(recipe, detection.QUESTION.format(kind), label=kind),
            meta=_boxed(kind),
            category=kind,
        )
        for kind in kinds
    ]


def _grounding(recipe: Recipe, question: Question) -> ExampleOf:
    phrase = question.text
    if not phrase:
        raise UserError(
            "the task 'grounding' needs what to find; give --question \"the dog on the left\""
        )
    text = _filled(recipe, grounding.QUESTION.format(phrase), phrase=phrase)
    return _example(text, meta={**_boxed(phrase), "phrase": phrase})


def _choice(recipe: Recipe, question: Question) -> ExampleOf:
    if not question.text or len(question.options) < 2:
        raise UserError(
            "the task 'choice' needs a question and its options; give --question \"Where is it?\" "
            "--option left --option right"
        )
    values = {"question": question.text, "options": question.options, "answer": "A"}
    unshuffled = Reading(ChoiceOptions(shuffle=False))
    (read,) = choice.read(Row("--question", Unseen(), values), unshuffled)
    text = _filled(recipe, read.question)
    return _example(text, choices=read.choices, meta={"asked": question.text})


def _filled(recipe: Recipe, question: str, label: str = "", phrase: str = "") -> str:
    """The text of the prompt: the recipe's own question, if it has one, with its braces filled."""
    text = recipe.data.question or "{question}"
    for name, value in (("label", label), ("phrase", phrase), ("question", question)):
        text = text.replace(f"{{{name}}}", value)
    return text


def _boxed(asked: str) -> dict[str, str]:
    """`meta` of an example with boxes; `grid_setter` then sets the model's own grid."""
    return {"grid": "1000x1000", "asked": asked}


def _example(text: str, **more: object) -> ExampleOf:
    def example_of(image: LazyImage) -> Example:
        return replace(Example(image.name, image, text, ""), **more)  # type: ignore[arg-type]

    return example_of
