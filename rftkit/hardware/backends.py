"""What loads the model and what writes its completions: chosen, or refused by name, beforehand.

Nothing here loads a model. `refusals` and `chosen` are functions of the recipe and of `Here`, so
that every refusal can be tested on a machine without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rftkit.errors import ModelError, RecipeError
from rftkit.hardware.gpus import CAPABILITY_OF_VLLM, Card
from rftkit.hardware.memory_plan import Setup, need, verdict
from rftkit.hardware.prompt_size import PromptSize
from rftkit.model_info.families import architecture_of
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model

Backend = Literal["transformers", "unsloth"]
Generation = Literal["transformers", "vllm"]

# of the families known here, what Unsloth 2026.10 hands to vLLM
FAST = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "idefics3")
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that it ends with it
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_LOGGING_LEVEL": "ERROR",
}
VLLM_INSTALL = "pip install -c constraints-vllm.txt -e '.[unsloth,vllm]'"


@dataclass(frozen=True)
class Here:
    """What this machine has. capability: of the first GPU, 0 without one; gib: its memory."""

    capability: float = 0.0
    gib: float = 0.0
    unsloth: bool = False
    vllm: bool = False

    @property
    def cuda(self) -> bool:
        """Whether there is a GPU at all."""
        return self.capability > 0

    @property
    def card(self) -> Card:
        """The GPU as the plan knows it."""
        return Card("this GPU", self.gib, self.capability)


def here() -> Here:
    """This machine."""
    import torch

    installed = {name: find_spec(name) is not None for name in ("unsloth", "vllm")}
    if not torch.cuda.is_available():
        return Here(**installed)
    major, minor = torch.cuda.get_device_capability()
    total = torch.cuda.get_device_properties(0).total_memory
    return Here(major + minor / 10, total / 2**30, **installed)


def set_environment() -> None:
    """What vLLM reads as it is imported; what the user has set stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def backend_of(settings: Model, machine: Here) -> Backend:
    """The backend that `model.backend` means there. Raises ModelError where it cannot be."""
    if settings.backend == "transformers":
        return "transformers"
    if settings.backend == "auto":
        return "unsloth" if machine.unsloth and machine.cuda else "transformers"
    if not machine.unsloth:
        raise ModelError(
            "model.backend: 'unsloth' needs unsloth: pip install -c constraints.txt -e '.[unsloth]'"
        )
    if not machine.cuda:
        raise ModelError("model.backend: 'unsloth' needs a CUDA GPU; use backend = \"auto\"")
    return "unsloth"


def generation_of(recipe: Recipe, machine: Here, prompt: PromptSize | None = None) -> Generation:
    """What writes the completions of GRPO there.

    `auto` is transformers until vLLM beside training has been measured on a GPU; "vllm" has to be
    asked for. prompt: the largest one; assumed if None. Raises RecipeError, by name, for what
    cannot be.
    """
    if recipe.method.kind != "grpo" or recipe.model.generation != "vllm":
        return "transformers"
    why = next(refusals(recipe.model, backend_of(recipe.model, machine), machine), None)
    if why is not None:
        raise RecipeError(f'{why}; or set model.generation = "transformers"')
    if machine.cuda and not _fits(recipe, machine, prompt):
        raise RecipeError(
            "model.generation: 'vllm' and training do not fit this GPU together; see rftkit plan, "
            'or set model.generation = "transformers"'
        )
    return "vllm"


def check_recipe(recipe: Recipe) -> None:
    """Raises RecipeError for a recipe that no machine can run, for its engine's sake."""
    if recipe.model.generation != "vllm" or recipe.method.kind != "grpo":
        return
    backend: Backend = "transformers" if recipe.model.backend == "transformers" else "unsloth"
    if why := next(_impossible(recipe.model, backend), None):
        raise RecipeError(f'{why}; or set model.generation = "transformers"')


def refusals(model: Model, backend: Backend, machine: Here) -> Iterator[str]:
    """Why vLLM cannot write for this model there, each with what to change."""
    yield from _impossible(model, backend)
    if not machine.vllm:
        yield f"model.generation: 'vllm' needs vllm: {VLLM_INSTALL}"
    if machine.cuda and machine.capability < CAPABILITY_OF_VLLM:
        yield (
            f"model.generation: 'vllm' needs compute capability {CAPABILITY_OF_VLLM:g}, this GPU "
            f"has {machine.capability:g}; take a newer one"
        )


def share(recipe: Recipe, machine: Here, prompt: PromptSize | None = None) -> float:
    """The share of the GPU's memory that vLLM is to take, by plan; 0.3 where there is none."""
    if not machine.cuda:
        return 0.3
    return round(need(recipe, machine.card, _with_vllm(recipe, machine), prompt).share, 3)


def longest(recipe: Recipe, prompt: PromptSize | None = None) -> int:
    """Tokens of the largest prompt and a completion, by plan: what vLLM makes room for."""
    return need(recipe, prompt=prompt).prompt_tokens + recipe.method.max_new_tokens


def _with_vllm(recipe: Recipe, machine: Here) -> Setup:
    backend = backend_of(recipe.model, machine)
    shared = recipe.method.trainer in ("auto", "shared")
    return Setup(backend, "vllm", shared)


def _fits(recipe: Recipe, machine: Here, prompt: PromptSize | None) -> bool:
    """Whether engine and training fit the GPU by plan; not where the model's sizes are unknown."""
    try:
        needed = need(recipe, machine.card, _with_vllm(recipe, machine), prompt)
    except ModelError:
        return False
    return verdict(needed, machine.card) != "no"


def _impossible(model: Model, backend: Backend) -> Iterator[str]:
    """Why vLLM cannot write for this model on any machine."""
    if model.lora_vision:
        yield (
            "model.lora_vision: true, but vLLM serves no adapter on the vision encoder; set "
            "model.lora_vision = false"
        )
    kind = architecture_of(model)
    if backend == "unsloth" and kind not in FAST:
        yield (
            f"model.generation: Unsloth has no vLLM for architecture {kind or model.name!r}; it "
            f"has it for {', '.join(FAST)}"
        )
    pinned = "@" in model.name and not Path(model.name).expanduser().exists()
    if backend == "unsloth" and pinned:
        identity, _, revision = model.name.partition("@")
        yield (
            f"model.name: {model.name}: Unsloth's vLLM ignores a pinned revision; fetch it with "
            f"`hf download {identity} --revision {revision} --local-dir FOLDER` and name the folder"
        )
    if backend == "transformers" and model.load_in_4bit:
        yield (
            "model.load_in_4bit: true, but TRL hands its weights to vLLM in 16 bit only; set "
            'model.load_in_4bit = false, or model.backend = "unsloth"'
        )
