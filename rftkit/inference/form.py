"""What is asked of both sides: one image, one prompt, one way of decoding, locked for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rftkit.answers import replies
from rftkit.answers.labels import colliding_labels
from rftkit.core import Example, LazyImage, NoImage, Style
from rftkit.data.box_grid import grid_setter
from rftkit.errors import UserError
from rftkit.inference.by_list import listed
from rftkit.inference.question import prompts
from rftkit.inference.truth import TruthError, gold_of
from rftkit.models.list_scores import Spellings
from rftkit.recipe.schema import Recipe
from rftkit.tasks import TASKS, get_task
from rftkit.tasks.options import DetectionOptions
from rftkit.tasks.question import Question

TEXT_LIMIT = 12_000  # characters of anything that is typed: 400 labels of 30
TRUTH_LIMIT = 4000  # characters of the right answer


@dataclass(frozen=True)
class Settings:
    """How both sides decode; temperature 0 is greedy.

    unthought: ask again with an empty thought, to see whether thinking changes the answer.
    """

    style: Style
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    unthought: bool = False


@dataclass(frozen=True)
class Form:
    """What was filled in. Empty text means: as the task has it.

    question: or a phrase to find; labels: labels, options or kinds of object, one on each line;
    prompt: in place of the task's own; truth: the right answer, boxes as JSON in pixels.
    """

    task: str
    settings: Settings
    question: str = ""
    labels: str = ""
    prompt: str = ""
    truth: str = ""


@dataclass(frozen=True)
class Asked:
    """One question, ready for both sides. `has_truth`: whether `example.gold` is true.

    answers: label -> as the model is to write it, of a closed list; {} where there is none.
    """

    task: str
    example: Example
    prompt: str
    settings: Settings
    has_truth: bool = False
    answers: Spellings = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """What the models were trained for: a recipe and the labels it knew.

    aliases: other spellings of labels, each with the label it means.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Decoding as evaluation does it."""
        method = self.recipe.method
        return Settings(self.recipe.style, method.max_new_tokens, seed=self.recipe.seed)

    def recipe_for(self, task: str) -> Recipe:
        """The recipe itself, or for another task than its own, one with that task's defaults."""
        if task == self.recipe.task:
            return self.recipe
        data = self.recipe.data.model_copy(update={"question": ""})
        return self.recipe.model_copy(
            update={"task": task, "options": get_task(task).options(), "data": data}
        )

    def form(self, task: str) -> Form:
        """The fields of a task preset, as training fills them."""
        own = task == self.recipe.task
        names = (
            tuple(filter(None, self.labels))
            if own and get_task(task).answer_kind != "option"
            else ()
        )
        if self._asks_for_one(task):
            names = names[:1]
        return Form(task, self.settings(), labels="\n".join(names))

    def _asks_for_one(self, task: str) -> bool:
        options = self.recipe_for(task).options
        return isinstance(options, DetectionOptions) and options.ask == "category"


def tasks() -> tuple[str, ...]:
    """The names of the task presets."""
    return tuple(task.name for task in TASKS)


def prompt_of(form: Form, setup: Setup, image: LazyImage | None) -> str:
    """The prompt that the form's fields make, as training would write it.

    Without an image, boxes are asked for in thousandths. Raises UserError as `ask` does.
    """
    return get_task(form.task).prompt(_example(form, setup, image), form.settings.style)


def ask(form: Form, setup: Setup, image: LazyImage) -> Asked:
    """The question that a form asks about an image.

    Raises UserError for a field that is missing, too long or cannot be read.
    """
    texts = {"question": form.question, "labels": form.labels, "prompt": form.prompt}
    for name, text in texts.items():
        if len(text) > TEXT_LIMIT:
            raise UserError(f"{name}: longer than {TEXT_LIMIT} characters; shorten it")
    if len(form.truth) > TRUTH_LIMIT:
        raise TruthError(f"truth: longer than {TRUTH_LIMIT} characters; shorten it")
    example = _example(form, setup, image)
    if has_truth := bool(form.truth.strip()):
        example = replace(example, gold=gold_of(form.truth, form.task, example))
    prompt = form.prompt.strip() or get_task(form.task).prompt(example, form.settings.style)
    if replies.TAG.sub("", prompt).count("<|"):
        raise UserError("prompt: holds '<|', which starts a token of the chat template; reword it")
    answers = listed(get_task(form.task), example, setup.recipe_for(form.task).options)
    return Asked(form.task, example, prompt, form.settings, has_truth, answers)


def of_example(example: Example, name: str, settings: Settings) -> Asked:
    """The question of an example of the data, whose answer is known. name: of its task."""
    task = get_task(name)
    prompt, answers = task.prompt(example, settings.style), listed(task, example, task.options())
    return Asked(name, example, prompt, settings, True, answers)


def names_of(text: str) -> tuple[str, ...]:
    """The labels on the lines of a text, or between its commas if it is one line."""
    parts = text.splitlines() if "\n" in text.strip() else text.split(",")
    return tuple(dict.fromkeys(name for part in parts if (name := " ".join(part.split()))))


def _example(form: Form, setup: Setup, image: LazyImage | None) -> Example:
    recipe, names = setup.recipe_for(form.task), names_of(form.labels)
    _check_names(names, form.task)
    task = get_task(form.task)
    question = Question(
        text=form.question.strip() if "text" in task.form.takes else "",
        options=names if "options" in task.form.takes else (),
        categories=names if "categories" in task.form.takes else (),
    )
    try:
        prepared = prompts(recipe, names, question)
    except UserError:
        raise UserError(task.form.missing) from None
    if len(prepared) > 1:
        raise UserError("what to find: one kind of object at a time here; leave one line")
    example = prepared[0](image or NoImage())
    if task.predicts_labels:
        example = replace(example, aliases=setup.aliases)
    return grid_setter(recipe.model)(example) if image else example


def _check_names(names: tuple[str, ...], task: str) -> None:
    for name in names:
        if replies.TAG.search(name) or "<|" in name or not name.isprintable():
            raise UserError(
                f"labels: {name[:60]!r} holds a tag or a control character; take it out"
            )
    if get_task(task).predicts_labels or {"options", "categories"} & {*get_task(task).form.takes}:
        for first, second in colliding_labels(names):
            raise UserError(f"labels: {first!r} and {second!r} read the same; rename one")
