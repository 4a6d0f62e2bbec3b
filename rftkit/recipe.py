"""The recipe: one TOML file that says everything about a run. Strict, frozen, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rftkit import rewards
from rftkit.core import Rules
from rftkit.lengths import Length
from rftkit.options import DetectionOptions, LabelOptions, Options
from rftkit.tasks import TASKS, by_name

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

TINY = ("tiny", "tiny-hangar", "tiny-scenes", "tiny-quiz")  # models that rftkit builds itself
BUILT_IN = ("digits", "hangar", "scenes")  # data that are no files
OWN_REWARD = re.compile(r".+\.py:[A-Za-z_]\w*")  # a function in a file of the user's
REASONING = 224  # new tokens that a style with reasoning has beside its answer


# fmt: off
Source = Literal[
    "hub", "folder", "csv", "jsonl", "coop", "coco", "voc", "yolo", "lisa", "refs", "llava",
    "digits", "hangar", "scenes",
]
Column = Literal[
    "image", "label", "rationale", "question", "options", "answer", "category", "source",
    "boxes", "box", "grid", "phrase", "objects",
]
# fmt: on


_TABLES: tuple[Source, ...] = ("hub", "csv", "jsonl")
_BOXES: tuple[Source, ...] = ("coco", "voc", "yolo")
SOURCES_OF: dict[str, tuple[Source, ...]] = {
    "classification": ("folder", *_TABLES, "coop", "llava", "digits", "hangar"),
    "detection": (*_BOXES, *_TABLES, "scenes"),
    "grounding": ("lisa", "refs", *_TABLES, "scenes"),
    "choice": (*_TABLES, "llava", "scenes"),
    "number": (*_TABLES, "llava", "scenes"),
}


# what columns of another name may stand for; no source but these has columns
COLUMNS_OF: dict[str, tuple[Column, ...]] = {
    **dict.fromkeys(_TABLES, get_args(Column)),
    "refs": ("image", "phrase", "box"),
    "llava": ("label", "question", "answer"),
}


class Section(BaseModel):
    """A table of the recipe: unknown keys, other types and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Model(Section):
    """Which model learns, and how it is loaded."""

    name: str = Field(
        default="Qwen/Qwen2.5-VL-3B-Instruct",
        min_length=1,
        description='hub id (`name@revision` pins one), local folder, or "tiny", "tiny-hangar", '
        '"tiny-scenes"',
    )
    backend: Literal["auto", "transformers", "unsloth"] = Field(
        default="auto", description="auto: unsloth on CUDA when installed, else transformers"
    )
    generation: Literal["auto", "transformers", "vllm"] = Field(
        default="auto", description="what writes completions in GRPO; auto: vllm where it can"
    )
    load_in_4bit: bool = Field(
        default=True,
        description="NF4 base weights (QLoRA); false for the tiny models unless given",
    )
    max_pixels: int = Field(
        default=401408, ge=784, le=16_777_216, description="image budget: pictures above it shrink"
    )
    lora_rank: int = Field(default=16, ge=1, le=512, description="rank of the adapter; alpha is 2×")
    lora_vision: bool = Field(default=False, description="adapt the vision tower too")


class Data(Section):
    """Where the labelled pictures are, and how many of them are used."""

    source: Source = Field(
        default="folder", description="what the data are: see docs/data.md; or a built-in set"
    )
    path: str = Field(
        default="",
        description="folder, file or hub id (`id@revision` pins one); `{split}` stands for a split",
    )
    images: str = Field(
        default="", description="folder of the pictures that a file of annotations names"
    )
    shots: int = Field(
        default=0, ge=0, le=100_000, description="training pictures per class; 0 uses all"
    )
    splits: tuple[str, str] = Field(
        default=("train", "test"),
        description="names of the training and the held-out split; the first empty: only to test",
    )
    columns: Mapping[Column, str] = Field(
        default={}, description="names of columns: `image`, `label`, `question`, `answer`, …"
    )
    choices: Literal["all", "paper", "none"] = Field(
        default="all",
        description="labels offered in the prompt: all, CLS-RL's random list per picture, none",
    )
    classes: Literal["all", "base", "new"] = Field(
        default="all", description="train on all classes, or on one half of the sorted names"
    )
    question: str = Field(
        default="", max_length=4000, description="replaces the task's question; empty keeps it"
    )

    @field_validator("splits", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value  # TOML has no tuples


class Update(Section):
    """How a scored rollout becomes a gradient: TRL's options, by TRL's meaning."""

    scale_rewards: Literal["group", "batch", "none"] = Field(
        default="group", description="divide advantages by the std of the group, batch, or not"
    )
    clip: tuple[Fraction, Fraction] = Field(
        default=(0.2, 0.2), description="ε below and above 1 for the ratio of probabilities"
    )
    mask_truncated: bool = Field(default=False, description="cut-off completions do not train")
    aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = Field(
        default="sum_then_normalize", description="several rewards: normalise the sum or each"
    )

    @field_validator("clip", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Method(Section):
    """How the model learns. SFT reads `kind` to `batch_size`; evaluation `max_new_tokens` too."""

    kind: Literal["grpo", "sft"] = Field(default="grpo", description="reinforcement or supervised")
    steps: Count = Field(default=200, description="optimizer steps")
    learning_rate: float = Field(default=1e-5, gt=0, le=1, description="peak, then linear to 0")
    batch_size: int = Field(
        default=4, ge=1, le=4096, description="examples per step (GRPO: prompts, × group_size)"
    )
    group_size: int = Field(default=8, ge=2, le=256, description="completions per prompt")
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo", "gspo"] = Field(
        default="grpo", description="how token losses are averaged; gspo: as grpo, clipped by reply"
    )
    kl: float = Field(default=0.04, ge=0, le=10, description="weight of the KL to the base model")
    temperature: float = Field(default=1.0, gt=0, le=10, description="sampling temperature")
    max_new_tokens: Annotated[int, Field(ge=1, le=32768)] = Field(
        default=256,
        description="budget of one completion; unless given it follows task and style: 32 for "
        "direct, 256 for detection in direct, 224 more with reasoning",
    )
    update: Update = Update()
    length: Length | None = Field(
        default=None, description="reward for the length of the reasoning; docs/methods.md"
    )


class Eval(Section):
    """How a model is measured on the held-out split."""

    limit: int = Field(default=0, ge=0, description="held-out pictures, evenly by class; 0: all")
    batch_size: int = Field(default=16, ge=1, le=4096, description="pictures answered at once")
    decode: Literal["generate", "choices"] = Field(
        default="generate", description="write freely, or score each offered label"
    )


def budget(task: str, style: str) -> int:
    """New tokens that an answer takes, with its reasoning: the default of `max_new_tokens`."""
    return by_name(task).room + (0 if style == "direct" else REASONING)


class Recipe(Section):
    """One run."""

    task: Literal["classification", "detection", "grounding", "choice", "number"] = Field(
        default="classification", description="what is asked"
    )
    style: Literal["think", "direct", "answer-first", "adaptive"] = Field(
        default="think", description="what the model is asked to write"
    )
    rules: Rules = Field(
        default="strict", description="rewards as defined here, or as in the papers' code"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of everything random")
    model: Model = Model()
    data: Data = Data()
    options: SerializeAsAny[Options] = Field(
        default=LabelOptions(), description="what this task lets you choose; docs/tasks.md"
    )
    method: Method = Method()
    rewards: Mapping[str, Annotated[float, Field(ge=0, le=1000)]] = Field(
        default={"accuracy": 1.0, "format": 1.0},
        description="weight of each reward, by name or `file.py:name`; the task has its defaults",
    )
    eval: Eval = Eval()

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, given: object) -> object:
        """A direct reply needs few tokens, and 4 bits save a tiny model nothing but slow it down.

        The budget matters: Dr.GRPO divides by it.
        """
        if not isinstance(given, dict):
            return given
        task = next((t for t in TASKS if t.name == given.get("task")), by_name("classification"))
        tokens = budget(task.name, str(given.get("style", "think")))
        filled = dict(given)
        if isinstance(method := given.get("method", {}), dict):
            filled["method"] = {"max_new_tokens": tokens, **method}
        if isinstance(model := given.get("model", {}), dict) and model.get("name") in TINY:
            filled["model"] = {"load_in_4bit": False, **model}
        filled["options"] = given.get("options", {})
        filled["rewards"] = given.get("rewards", dict(task.weights))
        return filled

    @field_validator("options", mode="plain")
    @classmethod
    def _of_the_task(cls, value: object, info: ValidationInfo) -> Options:
        """The options of the recipe's own task; another task's keys are unknown."""
        name = info.data.get("task")
        return by_name(name).options.model_validate(value) if name else Options()

    @model_validator(mode="after")
    def _known_rewards(self) -> Recipe:
        task = by_name(self.task)
        paid = task.rewards if self.rules == "strict" else task.paper
        known = [*paid, *rewards.GENERAL]
        for name in self.rewards:
            if name not in known and not OWN_REWARD.fullmatch(name):
                raise ValueError(
                    f"rewards.{name}: unknown reward; task {self.task!r} has "
                    f'{", ".join(known)}, by {self.rules} rules; your own is "file.py:name"'
                )
        names = [name.rpartition(":")[2] for name in self.rewards]
        twice = next((name for name in names if names.count(name) > 1), None)
        taken = next((n for n in self.rewards if OWN_REWARD.fullmatch(n)
                      and n.rpartition(":")[2] in (*known, "length")), None)  # fmt: skip
        if twice or taken:
            raise ValueError(
                f"rewards: two are called {twice or names[[*self.rewards].index(str(taken))]!r}; "
                "rename the function of yours"
            )
        counted = {n: w for n, w in self.rewards.items() if (self.style, n) != ("direct", "format")}
        if not any(counted.values()):
            raise ValueError("rewards: every weight is 0; give at least one reward a weight")
        return self

    @model_validator(mode="after")
    def _possible(self) -> Recipe:
        data, takes = self.data, SOURCES_OF[self.task]
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
        if self.eval.decode == "choices" and not self._offers_labels():
            raise ValueError(
                "eval.decode: 'choices' needs offered labels: task \"classification\" with "
                'data.choices = "all", or task "choice"'
            )
        if self.data.splits[0] == self.data.splits[1]:
            raise ValueError(
                f"data.splits: both are {self.data.splits[0]!r}; test on pictures not trained on"
            )
        together = isinstance(self.options, DetectionOptions) and self.options.ask == "picture"
        if together and data.classes != "all":
            raise ValueError(
                'data.classes: with options.ask = "picture" all categories are asked for at once; '
                'set it to "all", or ask by category'
            )
        if self.method.length and self.style == "direct":
            raise ValueError("method.length: style 'direct' has no reasoning to measure")
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

    def _offers_labels(self) -> bool:
        if self.task == "classification":
            return self.data.choices != "none"
        return self.task == "choice"
