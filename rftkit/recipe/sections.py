"""The tables of a recipe, key by key: what each may be, its default and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rftkit.rewards.length import Length

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

TINY = ("tiny", "tiny-hangar", "tiny-scenes", "tiny-quiz")  # models that rftkit builds itself

# fmt: off
Source = Literal[
    "hub", "folder", "csv", "jsonl", "coop", "coco", "voc", "yolo", "lisa", "refs", "llava",
    "label_studio", "cvat", "digits", "hangar", "scenes",
]
Column = Literal[
    "image", "label", "rationale", "question", "options", "answer", "category", "source",
    "boxes", "box", "grid", "phrase", "objects",
]
# fmt: on


class Section(BaseModel):
    """A table of the recipe: unknown keys, other types and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Model(Section):
    """Which model learns, and how it is loaded."""

    name: str = Field(
        default="Qwen/Qwen2.5-VL-3B-Instruct",
        min_length=1,
        description='hub id (`name@revision` pins one), local folder, or "tiny", "tiny-hangar", '
        '"tiny-scenes", "tiny-quiz"',
    )
    backend: Literal["auto", "transformers", "unsloth"] = Field(
        default="auto", description="auto: unsloth on CUDA when installed, else transformers"
    )
    generation: Literal["auto", "transformers", "merged", "vllm"] = Field(
        default="auto",
        description="what generates GRPO rollouts: transformers, a merged 16-bit copy of the "
        "language model, or vllm; auto: on a GPU the fastest that is possible (docs/cuda.md)",
    )
    load_in_4bit: bool = Field(
        default=True,
        description="NF4 base weights (QLoRA); false for the tiny models unless given",
    )
    max_pixels: int = Field(
        default=401408,
        ge=784,
        le=16_777_216,
        description="largest image in pixels; larger ones are shrunk",
    )
    lora_rank: int = Field(default=16, ge=1, le=512, description="rank of the adapter; alpha is 2×")
    lora_vision: bool = Field(default=False, description="adapt the vision encoder too")


class Data(Section):
    """Where the labelled images are, and how many of them are used."""

    source: Source = Field(
        default="folder", description="format of the data (docs/data.md), or a built-in data set"
    )
    path: str = Field(
        default="",
        description="folder, file or hub id (`id@revision` pins one); `{split}` stands for a split",
    )
    images: str = Field(
        default="", description="folder of the images that an annotation file names"
    )
    shots: int = Field(
        default=0, ge=0, le=100_000, description="training images per class; 0 uses all"
    )
    splits: tuple[str, str] = Field(
        default=("train", "test"),
        description="names of the training and the held-out split; an empty first one: only test",
    )
    columns: Mapping[Column, str] = Field(
        default={}, description="names of columns: `image`, `label`, `question`, `answer`, …"
    )
    choices: Literal["all", "paper", "none"] = Field(
        default="all",
        description="labels offered in the prompt: all, CLS-RL's random list per image, none",
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
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError(
                "data.splits: should be two names, that of the training split and that of the "
                f'held-out one, such as ["train", "test"], not {str(value)[:60]!r}'
            )
        if value[1] == "":
            raise ValueError("data.splits: the second is empty; name the held-out split")
        return tuple(value)  # TOML has no tuples

    @property
    def train_split(self) -> str:
        """The name of the split to train on; "" if the data is only to be tested on."""
        return self.splits[0]

    @property
    def test_split(self) -> str:
        """The name of the held-out split."""
        return self.splits[1]


class Update(Section):
    """How a scored rollout becomes a gradient. The options mean what they mean in TRL."""

    scale_rewards: Literal["group", "batch", "none"] = Field(
        default="group", description="divide advantages by the std of the group, batch, or not"
    )
    clip: tuple[Fraction, Fraction] = Field(
        default=(0.2, 0.2), description="ε below and above 1 for the ratio of probabilities"
    )
    mask_truncated: bool = Field(
        default=False, description="leave truncated completions out of the loss"
    )
    aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = Field(
        default="sum_then_normalize", description="several rewards: normalise the sum or each"
    )

    @field_validator("clip", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError(
                "method.update.clip: should be two numbers, such as [0.2, 0.2], not "
                f"{str(value)[:60]}"
            )
        return tuple(value)


class Exact(Section):
    """What `kind = "exact"` maximises; docs/exact.md."""

    objective: Literal["grpo", "reward", "likelihood", "tilted"] = Field(
        default="grpo",
        description="grpo: the expected reward by its standard deviation; reward: the expected "
        "reward; likelihood: imitation of all right answers; tilted: the optimum at a price of KL",
    )
    within_list: bool = Field(
        default=False,
        description="take probabilities among the answers alone, and leave other replies untrained",
    )
    beta: float = Field(default=0.1, gt=0, le=100, description="of tilted: its price of KL")
    brier: float = Field(
        default=0.0, ge=0, le=1000, description="weight of the Brier score, for calibration"
    )


class Warmup(Section):
    """Imitation before reinforcement, in one run; docs/warmup.md."""

    steps: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="of `method.steps`, the first so many imitate as SFT does; 0: none",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="peak of the warm-up, from which it decays linearly to 0; unset: that of the "
        "method",
    )


class Method(Section):
    """How the model learns. SFT reads `kind` to `batch_size`; evaluation `max_new_tokens` too."""

    kind: Literal["grpo", "sft", "exact"] = Field(
        default="grpo",
        description="reinforcement, supervised, or reinforcement summed over a closed list of "
        "answers instead of sampled (docs/exact.md)",
    )
    steps: Count = Field(default=200, description="optimizer steps, those of a warm-up among them")
    learning_rate: float = Field(
        default=1e-5, gt=0, le=1, description="peak learning rate; it decays linearly to 0"
    )
    batch_size: int = Field(
        default=4, ge=1, le=4096, description="examples per step (GRPO: prompts, × group_size)"
    )
    group_size: int = Field(default=8, ge=2, le=256, description="completions per prompt")
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo", "gspo"] = Field(
        default="grpo",
        description="how token losses are averaged; gspo: as grpo, clipped per completion",
    )
    kl: float = Field(default=0.04, ge=0, le=10, description="weight of the KL to the base model")
    temperature: float = Field(default=1.0, gt=0, le=10, description="sampling temperature")
    max_new_tokens: Annotated[int, Field(ge=1, le=32768)] = Field(
        default=256,
        description="budget of one completion; unless given it follows task and style: 32 for "
        "direct, 256 for detection in direct, 224 more with reasoning",
    )
    trainer: Literal["auto", "shared", "unsloth", "trl"] = Field(
        default="auto",
        description="what computes the loss of GRPO: shared encodes each prompt once for its group "
        "of completions (docs/shared_prefix.md), trl and unsloth once per completion; auto: "
        "shared where the model allows it, else the backend's own",
    )
    answers: Literal["sampled", "summed"] = Field(
        default="sampled",
        description="GRPO in style think or adaptive on a closed list: summed takes all answers "
        "after each sampled thought in place of the sampled one (docs/exact.md)",
    )
    update: Update = Update()
    exact: Exact = Exact()
    warmup: Warmup = Warmup()
    length: Length | None = Field(
        default=None, description="reward for the length of the reasoning; docs/methods.md"
    )

    @model_validator(mode="before")
    @classmethod
    def _shared_prefix_is_now_trainer(cls, values: object) -> object:
        """Recipes and runs of older versions say `shared_prefix = "auto"` or `"off"`."""
        if not isinstance(values, Mapping) or values.get("shared_prefix") not in ("auto", "off"):
            return values
        rest = {name: value for name, value in values.items() if name != "shared_prefix"}
        return {"trainer": "trl" if values["shared_prefix"] == "off" else "auto", **rest}


class Eval(Section):
    """How a model is evaluated on the held-out split."""

    limit: int = Field(
        default=0,
        ge=0,
        description="number of held-out images, evenly across classes; 0 uses all",
    )
    batch_size: int = Field(default=16, ge=1, le=4096, description="images per evaluation batch")
    decode: Literal["generate", "choices"] = Field(
        default="generate",
        description="the answer that counts: what the model writes, or the likeliest of its list; "
        "where there is a list both are measured",
    )
    during: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="steps between two checks on held-out training data, by which the best step's "
        "adapter is kept; 0: the last step's (docs/evaluation.md)",
    )
    validation: str = Field(
        default="",
        description="split for `during`, and for the temperature of a list's probabilities, which "
        "needs no `during`; empty: with `during` a quarter of the training examples is held out",
    )
    patience: int = Field(
        default=0, ge=0, le=1000, description="checks without progress that end a run; 0: none do"
    )
