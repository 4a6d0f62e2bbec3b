"""What the phases of a run hold at once: rollout, forward and backward, evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from rftkit.hardware import memory_parts
from rftkit.hardware.prompt_size import PromptSize
from rftkit.model_info.families import SHARED, architecture_of
from rftkit.model_info.limits import LOGITS_AT_ONCE, TOKENS_AT_ONCE
from rftkit.model_info.shapes import Shape
from rftkit.recipe.schema import Recipe

ANSWER = 4  # tokens of a label, the end of the turn among them
ROWS_SCORED = 4  # at once, for each image, where a list is scored and prompts are not shared

Backend = Literal["transformers", "unsloth"]
Generation = Literal["transformers", "merged", "vllm"]
Trainer = Literal["shared", "unsloth", "trl"]


@dataclass(frozen=True)
class Setup:
    """How a recipe is run: what loads the model, writes completions and computes the loss."""

    backend: Backend = "unsloth"
    generation: Generation = "transformers"
    trainer: Trainer = "shared"

    @property
    def shared(self) -> bool:
        """Whether each prompt is computed once for its whole group."""
        return self.trainer == "shared"


@dataclass(frozen=True)
class Part:
    """A line of the table: bytes, and what they are of. phase: only then, else always."""

    name: str
    bytes: float
    detail: str = ""
    phase: str = ""


class Load:
    """The numbers of rows and tokens that the phases share.

    prompt, new: tokens of the largest prompt and of a completion. listed: of all answers of its
    list. patches: of all its images.
    """

    def __init__(
        self, recipe: Recipe, shape: Shape, setup: Setup, prompt: PromptSize, image_tokens: int
    ) -> None:
        method = recipe.method
        self.recipe, self.shape, self.setup = recipe, shape, setup
        self.prompt = prompt.images * (image_tokens + shape.vision.marks) + prompt.text_tokens
        self.listed = prompt.list_tokens
        self.new = method.max_new_tokens
        self.image_patches = image_tokens * shape.vision.merge**2
        self.patches = prompt.images * self.image_patches
        self.rows = method.batch_size * (method.group_size if method.kind == "grpo" else 1)


def phases(load: Load) -> Iterator[Part]:
    """What each phase holds beside what is there always."""
    recipe, shape = load.recipe, load.shape
    shared, method = load.setup.shared, recipe.method
    grpo = method.kind == "grpo"
    if grpo and load.setup.generation != "vllm":
        prompts = method.batch_size if shared else load.rows
        tokens = (load.prompt, load.new)
        held = memory_parts.generation(shape, load.rows, prompts, tokens, load.patches)
        yield Part("rollout", held, f"{load.rows} completions at once", "rollout")
    by_kind = {"grpo": _training, "sft": _imitation, "exact": _summing}
    yield by_kind[method.kind](load)
    if method.warmup.steps:
        yield replace(_imitation(load), phase="warm-up")
    listed = recipe.has_list and architecture_of(recipe.model) not in (*SHARED, "")
    rows = recipe.eval.batch_size * (ROWS_SCORED if listed else 1)
    held = memory_parts.generation(shape, rows, rows, (load.prompt, load.new), load.patches)
    yield Part("evaluation", held, f"{rows} images at once", "evaluation")


def _training(load: Load) -> Part:
    """A micro-batch is one group."""
    shape, group = load.shape, load.recipe.method.group_size
    copies = 1 if load.setup.shared else group
    tokens = copies * load.prompt + group * load.new
    chunked = load.setup.trainer in ("shared", "unsloth")
    at_once = LOGITS_AT_ONCE if chunked else None
    scored = memory_parts.logits(shape.text, group * load.new, at_once)
    patches, vision = copies * load.patches, load.recipe.model.lora_vision
    offloaded = load.setup.backend == "unsloth"
    batch = memory_parts.MicroBatch(tokens, patches, scored)
    held = memory_parts.training(shape, batch, vision=vision, offloaded=offloaded)
    held += memory_parts.mask(tokens) if load.setup.shared else 0
    detail = "each prompt once" if load.setup.shared else "each prompt with every completion"
    return Part("forward and backward", held, f"{tokens} tokens, {detail}", "training")


def _summing(load: Load) -> Part:
    """As many prompts and answers as are computed at once; at least one prompt with one answer."""
    shape, prompt, listed = load.shape, load.prompt, load.listed
    copies = 1 if load.setup.shared else listed // ANSWER + 1
    every = load.rows * (copies * prompt + listed)
    tokens = min(every, max(TOKENS_AT_ONCE, prompt + ANSWER))
    prompts = max(1, min(load.rows * copies, tokens // (prompt + listed // copies)))
    scored = memory_parts.logits(shape.text, tokens - prompts * prompt, LOGITS_AT_ONCE)
    vision, offloaded = load.recipe.model.lora_vision, load.setup.backend == "unsloth"
    batch = memory_parts.MicroBatch(tokens, prompts * load.patches, scored)
    held = memory_parts.training(shape, batch, vision=vision, offloaded=offloaded)
    detail = "each prompt once" if load.setup.shared else "each prompt with every answer"
    return Part("forward and backward", held, f"{tokens} tokens, {detail}", "training")


def _imitation(load: Load) -> Part:
    """A micro-batch is one example; its reply is as long as a completion may be."""
    shape, tokens = load.shape, load.prompt + load.new
    offloaded = load.setup.backend == "unsloth"
    at_once = LOGITS_AT_ONCE if offloaded else None
    scored = memory_parts.logits(shape.text, tokens, at_once)
    vision = load.recipe.model.lora_vision
    batch = memory_parts.MicroBatch(tokens, load.patches, scored)
    held = memory_parts.training(shape, batch, vision=vision, offloaded=offloaded)
    return Part("forward and backward", held, f"{tokens} tokens", "training")
