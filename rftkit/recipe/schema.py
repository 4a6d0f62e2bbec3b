"""The recipe: one TOML file that says everything about a run. Strict, frozen, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rftkit.core import Rules
from rftkit.recipe.sections import TINY, Column, Data, Eval, Method, Model, Section
from rftkit.rewards import general as rewards
from rftkit.tasks import DEFAULT, TASKS, get_task
from rftkit.tasks.options import DetectionOptions, LabelOptions, Options
from rftkit.tasks.task import TABLES, no_paper, reward_applies

BUILT_IN = ("digits", "hangar", "scenes")  # data that are no files
CUSTOM_REWARD = re.compile(r".+\.py:[A-Za-z_]\w*")  # a function in a file of the user's
BRACED = re.compile(r"\{([^\W\d]\w*)\}")
FILLED_IN = ("question", "label", "phrase")  # what data.question may hold in braces
REASONING = 224  # new tokens that a style with reasoning has beside its answer


SOURCES_OF: dict[str, tuple[str, ...]] = {task.name: task.sources for task in TASKS}
if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(task.name for task in TASKS)]


# what columns of another name may stand for; no source but these has columns
COLUMNS_OF: dict[str, tuple[Column, ...]] = {
    **dict.fromkeys(TABLES, get_args(Column)),
    "refs": ("image", "phrase", "box"),
    "llava": ("label", "question", "answer"),
    "label_studio": ("image", "label", "question", "answer", "category", "rationale"),
    "cvat": ("label", "question", "answer", "category"),
}


def budget(task: str, style: str) -> int:
    """New tokens that an answer takes, with its reasoning: the default of `max_new_tokens`."""
    return get_task(task).answer_tokens + (0 if style == "direct" else REASONING)


class Recipe(Section):
    """One run."""

    task: TaskName = Field(default=DEFAULT.name, description="the task, see docs/tasks.md")
    style: Literal["think", "direct", "answer-first", "adaptive"] = Field(
        default="think", description="reply style: what the model is asked to write"
    )
    rules: Rules = Field(
        default="strict", description="scoring protocol: rftkit's own, or that of the papers' code"
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="random seed for sampling, shuffling and adapter initialisation",
    )
    model: Model = Model()
    data: Data = Data()
    options: SerializeAsAny[Options] = Field(
        default=LabelOptions(), description="options of this task; docs/tasks.md"
    )
    method: Method = Method()
    rewards: Mapping[str, Annotated[float, Field(ge=0, le=1000)]] = Field(
        default={"accuracy": 1.0, "format": 1.0},
        description="weight of each reward, by name or `file.py:name`; each task has defaults",
    )
    eval: Eval = Eval()

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, values: object) -> object:
        """A direct reply needs few tokens, and 4 bits save a tiny model nothing but slow it down.

        The budget matters: Dr.GRPO divides by it.
        """
        if not isinstance(values, dict):
            return values
        task = next((t for t in TASKS if t.name == values.get("task")), DEFAULT)
        tokens = budget(task.name, str(values.get("style", "think")))
        filled = dict(values)
        if isinstance(method := values.get("method", {}), dict):
            filled["method"] = {"max_new_tokens": tokens, **method}
        if isinstance(model := values.get("model", {}), dict) and model.get("name") in TINY:
            filled["model"] = {"load_in_4bit": False, **model}
        filled["options"] = values.get("options", {})
        filled["rewards"] = values.get("rewards", task.default_weights)
        return filled

    @field_validator("options", mode="plain")
    @classmethod
    def _of_the_task(cls, value: object, info: ValidationInfo) -> Options:
        """The options of the recipe's own task; another task's keys are unknown."""
        name = info.data.get("task")
        return get_task(name).options.model_validate(value) if name else Options()

    @model_validator(mode="after")
    def _known_rewards(self) -> Recipe:
        task = get_task(self.task)
        paid = task.rewards if self.rules == "strict" else task.paper_rewards
        if not paid:
            raise ValueError(f"rules: {no_paper(task)}")
        names = [*paid, *rewards.GENERAL]
        for name in self.rewards:
            if name not in names and not CUSTOM_REWARD.fullmatch(name):
                raise ValueError(
                    f"rewards.{name}: unknown reward; task {self.task!r} has "
                    f'{", ".join(names)}, by {self.rules} rules; your own is "file.py:name"'
                )
        own = [name.rpartition(":")[2] for name in self.rewards if CUSTOM_REWARD.fullmatch(name)]
        taken = next((n for n in own if own.count(n) > 1 or n in (*names, "length")), None)
        if taken:
            raise ValueError(f"rewards: two are called {taken!r}; rename the function of yours")
        if not any(self.active_rewards.values()):
            raise ValueError("rewards: every weight is 0; give at least one reward a weight")
        return self

    @model_validator(mode="after")
    def _source_fits_the_task(self) -> Recipe:
        data, takes = self.data, get_task(self.task).sources
        if data.source not in takes:
            raise ValueError(
                f"data.source: {data.source!r} has nothing for task {self.task!r}; "
                f"it takes {', '.join(takes)}"
            )
        named = COLUMNS_OF.get(data.source, ())
        if other := next((role for role in data.columns if role not in named), None):
            takes_names = f"takes {', '.join(named)}" if named else "has no columns; leave it out"
            raise ValueError(f"data.columns.{other}: source {data.source!r} {takes_names}")
        if data.source not in ("digits", "hangar") and not data.path:
            raise ValueError(f"data.path: missing; source {data.source!r} needs one")
        return self

    @model_validator(mode="after")
    def _evaluation_is_possible(self) -> Recipe:
        if self.eval.decode == "choices" and not self.has_list:
            raise ValueError(
                "eval.decode: 'choices' needs a list of answers: task \"classification\" with "
                'data.choices = "all", task "choice", or task "number" with options.range'
            )
        if self.eval.validation and not self.eval.during and not self.has_list:
            raise ValueError(
                "eval.validation: nothing is measured there, and without a list of answers no "
                "temperature is fitted; set eval.during too"
            )
        if self.eval.validation and self.eval.validation in self.data.splits:
            raise ValueError(
                f"eval.validation: {self.eval.validation!r} is trained or tested on; name another "
                "split, or leave it out"
            )
        if self.data.train_split == self.data.test_split:
            raise ValueError(
                f"data.splits: both are {self.data.train_split!r}; test on images not trained on"
            )
        return self

    @model_validator(mode="after")
    def _question_says_what_to_find(self) -> Recipe:
        if self._asks_for_all_at_once() and self.data.classes != "all":
            raise ValueError(
                'data.classes: with options.ask = "picture" all categories are asked for at once; '
                'set it to "all", or ask by category'
            )
        needed = "" if self._asks_for_all_at_once() else get_task(self.task).placeholder
        question = self.data.question
        if question and needed and needed not in question and "{question}" not in question:
            raise ValueError(
                f"data.question: {question[:60]!r} does not say what to find; put {needed} "
                "or {question} into it"
            )
        if other := next((n for n in BRACED.findall(question) if n not in FILLED_IN), None):
            placeholders = ", ".join(f"{{{name}}}" for name in FILLED_IN)
            raise ValueError(
                f"data.question: nothing is filled in for {{{other}}}; there are {placeholders}"
            )
        return self

    @model_validator(mode="after")
    def _length_has_reasoning_to_measure(self) -> Recipe:
        if self.method.length and self.style == "direct":
            raise ValueError("method.length: style 'direct' has no reasoning to measure")
        return self

    @model_validator(mode="after")
    def _summed_answers_are_possible(self) -> Recipe:
        method = self.method
        if method.answers != "summed":
            return self
        if method.kind != "grpo" or self.style not in ("think", "adaptive"):
            raise ValueError(
                'method.answers: \'summed\' is for GRPO in style "think" or "adaptive"; for '
                'direct answers set method.kind = "exact"'
            )
        if not self.has_list:
            raise ValueError(
                "method.answers: 'summed' needs every answer that may be right, as "
                'method.kind = "exact" does; set it to "sampled"'
            )
        if method.update.aggregation == "normalize_then_sum":
            raise ValueError(
                "method.answers: 'summed' with update.aggregation = \"normalize_then_sum\" has no "
                'one scale for its answers; set "sum_then_normalize"'
            )
        if method.trainer == "unsloth":
            raise ValueError(
                "method.answers: 'summed', but Unsloth's own trainer has samples alone; set "
                'method.trainer = "auto"'
            )
        return self

    @model_validator(mode="after")
    def _exact_has_a_list(self) -> Recipe:
        if self.method.kind != "exact":
            return self
        if self.style != "direct":
            raise ValueError(
                f"method.kind: 'exact' sums over answers, and style {self.style!r} writes more "
                'than an answer; set style = "direct", or method.kind = "grpo"'
            )
        if not self.has_list:
            raise ValueError(
                "method.kind: 'exact' needs every answer that may be right: task "
                '"classification" with data.choices = "all" or "paper", task "choice", or task '
                '"number" with options.range; set method.kind = "grpo"'
            )
        return self

    @model_validator(mode="after")
    def _warmup_is_possible(self) -> Recipe:
        method, warmup = self.method, self.method.warmup
        if not warmup.steps:
            if warmup.learning_rate is not None:
                raise ValueError(
                    "method.warmup.learning_rate: there is no warm-up; set method.warmup.steps too"
                )
            return self
        if method.kind == "sft":
            raise ValueError(
                "method.warmup: 'sft' imitates throughout; leave it out, or set method.kind to "
                '"grpo" or "exact"'
            )
        if warmup.steps >= method.steps:
            raise ValueError(
                f"method.warmup.steps: {warmup.steps} of method.steps = {method.steps} leave none "
                "for reinforcement; lower it, or raise method.steps"
            )
        return self

    def notes(self) -> tuple[str, ...]:
        """What works but is seldom wanted."""
        length, scale = self.method.length, self.method.update.scale_rewards
        if length and self.method.kind == "sft":
            return ('method.length: SFT pays no rewards and does not use it; "grpo" does',)
        if length and length.weight and scale == "group":
            return (
                'method.length with update.scale_rewards = "group": where all of a group are '
                "right, dividing by its std makes a small weight count like a large one; "
                '"none" does not',
            )
        return ()

    @property
    def active_rewards(self) -> dict[str, float]:
        """The weights of the rewards that count in this recipe's style."""
        return {
            name: weight
            for name, weight in self.rewards.items()
            if reward_applies(name, self.style)
        }

    @property
    def has_list(self) -> bool:
        """Whether every answer that may be right is known."""
        return self._offers_labels() or bool(get_task(self.task).listed(self.options))

    def _offers_labels(self) -> bool:
        task = get_task(self.task)
        return task.picks_offered and (not task.predicts_labels or self.data.choices != "none")

    def _asks_for_all_at_once(self) -> bool:
        return isinstance(self.options, DetectionOptions) and self.options.ask == "picture"
