"""The recipe: one TOML file that says everything about a run. Strict, frozen, read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rftkit import rewards
from rftkit.core import Rules
from rftkit.tasks import by_name

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

TINY = ("tiny", "tiny-hangar")  # models that rftkit builds itself
BUDGETS = {"direct": 32, "think": 256, "answer-first": 256, "adaptive": 256}


class Section(BaseModel):
    """A table of the recipe: unknown keys, other types and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Model(Section):
    """Which model learns, and how it is loaded."""

    name: str = Field(
        default="Qwen/Qwen2.5-VL-3B-Instruct",
        min_length=1,
        description='hub id (`name@revision` pins one), local folder, "tiny" or "tiny-hangar"',
    )
    backend: Literal["auto", "transformers", "unsloth"] = Field(
        default="auto", description="auto: unsloth on CUDA when installed, else transformers"
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

    source: Literal["hub", "folder", "csv", "jsonl", "digits", "hangar"] = Field(
        default="folder", description="hub data set, image folder, table, or a built-in set"
    )
    path: str = Field(default="", description="folder, file or hub id (`id@revision` pins one)")
    shots: int = Field(
        default=0, ge=0, le=100_000, description="training pictures per class; 0 uses all"
    )
    splits: tuple[str, str] = Field(
        default=("train", "test"), description="names of the training and the held-out split"
    )
    columns: Mapping[Literal["image", "label", "rationale"], str] = Field(
        default={}, description="names of the columns `image`, `label` and `rationale`"
    )
    choices: Literal["all", "paper", "none"] = Field(
        default="all",
        description="labels offered in the prompt: all, CLS-RL's random list per picture, none",
    )
    classes: Literal["all", "base", "new"] = Field(
        default="all", description="train on all classes, or on one half of the sorted names"
    )
    coop_split: str = Field(default="", description="CoOp `split_zhou_*.json` that lists the files")
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
    importance: Literal["token", "sequence"] = Field(
        default="token", description="level of that ratio; sequence is GSPO"
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
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = Field(
        default="grpo", description="how token losses are averaged"
    )
    kl: float = Field(default=0.04, ge=0, le=10, description="weight of the KL to the base model")
    temperature: float = Field(default=1.0, gt=0, le=10, description="sampling temperature")
    max_new_tokens: Annotated[int, Field(ge=1, le=32768)] = Field(
        default=256, description="budget of one completion; 32 in style direct unless given"
    )
    update: Update = Update()


class Eval(Section):
    """How a model is measured on the held-out split."""

    limit: int = Field(default=0, ge=0, description="held-out pictures, evenly by class; 0: all")
    batch_size: int = Field(default=16, ge=1, le=4096, description="pictures answered at once")
    decode: Literal["generate", "choices"] = Field(
        default="generate", description="write freely, or score each offered label"
    )


class Run(Section):
    """What is kept while a run goes on."""

    save_every: Count = Field(default=25, description="steps between checkpoints and samples")
    report_to: Literal["none", "tensorboard", "trackio"] = Field(
        default="none", description="also log there, through TRL"
    )


class Recipe(Section):
    """One run."""

    task: Literal["classification"] = Field(default="classification", description="what is asked")
    style: Literal["think", "direct", "answer-first", "adaptive"] = Field(
        default="think", description="what the model is asked to write"
    )
    rules: Rules = Field(
        default="strict", description="rewards as defined here, or as in the papers' code"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of everything random")
    model: Model = Model()
    data: Data = Data()
    method: Method = Method()
    rewards: Mapping[str, Annotated[float, Field(ge=0, le=1000)]] = Field(
        default={"accuracy": 1.0, "format": 1.0},
        description="weight of each reward; in style direct there is no format",
    )
    eval: Eval = Eval()
    run: Run = Run()

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, given: object) -> object:
        """A direct reply needs few tokens, and 4 bits save a tiny model nothing but slow it down.

        The budget matters: Dr.GRPO divides by it.
        """
        if not isinstance(given, dict):
            return given
        budget = BUDGETS.get(str(given.get("style", "think")), 256)
        filled = dict(given)
        if isinstance(method := given.get("method", {}), dict):
            filled["method"] = {"max_new_tokens": budget, **method}
        if isinstance(model := given.get("model", {}), dict) and model.get("name") in TINY:
            filled["model"] = {"load_in_4bit": False, **model}
        return filled

    @model_validator(mode="after")
    def _known_rewards(self) -> Recipe:
        known = [*by_name(self.task).rewards, *rewards.GENERAL]
        for name in self.rewards:
            if name not in known:
                raise ValueError(f"rewards.{name}: unknown reward; known: {', '.join(known)}")
        counted = {n: w for n, w in self.rewards.items() if (self.style, n) != ("direct", "format")}
        if not any(counted.values()):
            raise ValueError("rewards: every weight is 0; give at least one reward a weight")
        return self

    @model_validator(mode="after")
    def _possible(self) -> Recipe:
        if self.data.source in ("hub", "folder", "csv", "jsonl") and not self.data.path:
            raise ValueError(f"data.path: missing; source {self.data.source!r} needs one")
        if self.eval.decode == "choices" and self.data.choices == "none":
            raise ValueError(
                "eval.decode: 'choices' needs offered labels; set data.choices = \"all\""
            )
        if self.data.splits[0] == self.data.splits[1]:
            raise ValueError(
                f"data.splits: both are {self.data.splits[0]!r}; test on pictures not trained on"
            )
        return self
