"""What loads the model and what writes its completions: chosen, or refused by name, beforehand.

Nothing here loads a model. All but `here` are functions of the recipe and of `Here`, so that every
choice and refusal can be tested on a machine without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rftkit.errors import ModelError, RecipeError
from rftkit.hardware.gpus import CAPABILITY_OF_VLLM, Card
from rftkit.hardware.memory_plan import need, setup_of, verdict
from rftkit.hardware.phases import Backend, Generation, Setup
from rftkit.hardware.prompt_size import PromptSize
from rftkit.model_info.families import architecture_of
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model

# of the families known here, what Unsloth 2026.10 hands to vLLM
FAST = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "idefics3", "gemma3")
PAYS_FROM = 64  # new tokens: below, an engine's start takes longer than it saves
MOST = 0.95  # of the memory that is free, for vLLM
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that it ends with it
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_LOGGING_LEVEL": "ERROR",
}
UNSLOTH_ALONE = 'loads the model; set method.trainer = "auto"'
VLLM_INSTALL = "pip install -c constraints-vllm.txt -e '.[unsloth,vllm]'"


@dataclass(frozen=True)
class Here:
    """What a machine has. capability: of its first GPU, 0 without one.

    gib, free: its memory, and what of it no other program uses; 0 where that is not known.
    """

    capability: float = 0.0
    gib: float = 0.0
    unsloth: bool = False
    vllm: bool = False
    free: float = 0.0
    name: str = "this GPU"

    @property
    def cuda(self) -> bool:
        """Whether there is a GPU at all."""
        return self.capability > 0

    @property
    def card(self) -> Card:
        """The GPU as the plan knows it."""
        return Card(self.name, self.gib, self.capability)

    @property
    def room(self) -> Card:
        """The GPU, as large as what of it is free."""
        return Card(self.name, self.free or self.gib, self.capability)


def here() -> Here:
    """This machine."""
    import torch

    installed = _installed()
    if not torch.cuda.is_available():
        return installed
    major, minor = torch.cuda.get_device_capability()
    total = torch.cuda.get_device_properties(0).total_memory
    free, _ = torch.cuda.mem_get_info()
    return replace(installed, capability=major + minor / 10, gib=total / 2**30, free=free / 2**30)


def capped(machine: Here, gib: float) -> Here:
    """The same machine with so much of its GPU's memory; 0 for all of it."""
    if not gib or not machine.cuda:
        return machine
    return replace(machine, gib=min(machine.gib, gib), free=min(machine.free or gib, gib))


def here_with(card: Card) -> Here:
    """This machine as its driver describes it: torch is not loaded."""
    return replace(_installed(), capability=card.capability, gib=card.gib, name=card.name)


def elsewhere(card: Card) -> Here:
    """A machine with this GPU and what docs/cuda.md installs: Unsloth, no vLLM."""
    return Here(card.capability or CAPABILITY_OF_VLLM, card.gib, unsloth=True, name=card.name)


def _installed() -> Here:
    unsloth, vllm = (find_spec(name) is not None for name in ("unsloth", "vllm"))
    return Here(unsloth=unsloth, vllm=vllm)


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


def planned(recipe: Recipe, machine: Here, prompt: PromptSize | None = None) -> Setup:
    """How the recipe runs there, or would if it could.

    Of a recipe that names its engine nothing is checked. `auto` is vLLM within Unsloth where that
    is installed, can serve the model, fits by plan, and is worth its start; else a merged copy
    where that fits. prompt: the largest one; assumed if None.
    """
    backend: Backend = "unsloth" if machine.unsloth and machine.cuda else "transformers"
    if recipe.model.backend != "auto":
        backend = recipe.model.backend
    model = recipe.model.model_copy(update={"backend": backend})
    setup = setup_of(recipe.model_copy(update={"model": model}))
    if recipe.model.generation != "auto" or recipe.method.kind != "grpo" or not machine.cuda:
        return setup
    by_vllm, merged = replace(setup, generation="vllm"), replace(setup, generation="merged")
    served = backend == "unsloth" and not any(refusals(recipe.model, backend, machine))
    if served and _vllm_pays(recipe) and _fits(recipe, machine, by_vllm, prompt):
        return by_vllm
    four_bit = recipe.model.load_in_4bit  # else there is little to gain
    if four_bit and setup.trainer != "unsloth" and _fits(recipe, machine, merged, prompt):
        return merged
    return setup


def _vllm_pays(recipe: Recipe) -> bool:
    return recipe.style != "direct" and recipe.method.max_new_tokens > PAYS_FROM


def generation_of(recipe: Recipe, machine: Here, prompt: PromptSize | None = None) -> Generation:
    """What writes the completions of GRPO there; for `auto` see `planned`.

    prompt: the largest one; assumed if None. Raises RecipeError, by name, for what cannot be.
    """
    if recipe.method.kind != "grpo" or recipe.model.generation == "transformers":
        return "transformers"
    backend = backend_of(recipe.model, machine)
    setup = planned(recipe, machine, prompt)
    if recipe.model.generation == "merged" and setup.trainer == "unsloth":
        raise RecipeError(
            "model.generation: 'merged', but Unsloth's own trainer writes without a copy; set "
            'method.trainer = "auto"'
        )
    if recipe.model.generation in ("auto", "merged"):
        return setup.generation
    why = next(refusals(recipe.model, backend, machine), None)
    if why is not None:
        raise RecipeError(f'{why}; or set model.generation = "transformers"')
    if machine.cuda and not _fits(recipe, machine, setup, prompt):
        raise RecipeError(
            "model.generation: 'vllm' and training do not fit this GPU together; see rftkit plan, "
            'or set model.generation = "transformers"'
        )
    return "vllm"


def check_here(recipe: Recipe, machine: Here, prompt: PromptSize | None = None) -> None:
    """Raises RecipeError or ModelError, by name, for what cannot run on that machine.

    prompt: the largest one; assumed if None.
    """
    check_recipe(recipe)
    backend = backend_of(recipe.model, machine)
    if backend != "unsloth" and recipe.method.kind == "grpo" and recipe.method.trainer == "unsloth":
        raise RecipeError(f"method.trainer: 'unsloth', but {backend} {UNSLOTH_ALONE}")
    generation_of(recipe, machine, prompt)


def check_recipe(recipe: Recipe) -> None:
    """Raises RecipeError for a recipe that no machine can run, for its trainer or engine."""
    if recipe.method.kind != "grpo":
        return
    if recipe.method.trainer == "unsloth" and recipe.model.backend == "transformers":
        raise RecipeError(f"method.trainer: 'unsloth', but transformers {UNSLOTH_ALONE}")
    if recipe.model.generation != "vllm":
        return
    backend: Backend = "transformers" if recipe.model.backend == "transformers" else "unsloth"
    if why := next(_impossible(recipe.model, backend), None):
        raise RecipeError(f'{why}; or set model.generation = "transformers"')


def refusals(model: Model, backend: Backend, machine: Here) -> Iterator[str]:
    """Why vLLM cannot write for this model there, each with what to change."""
    if not machine.vllm:
        there = "" if machine.cuda else ", and there is no GPU here"
        yield f"model.generation: 'vllm' needs vllm{there}: {VLLM_INSTALL}"
    yield from _impossible(model, backend)
    if machine.cuda and machine.capability < CAPABILITY_OF_VLLM:
        yield (
            f"model.generation: 'vllm' needs compute capability {CAPABILITY_OF_VLLM:g}, this GPU "
            f"has {machine.capability:g}; take a newer one"
        )


class EngineRoom(NamedTuple):
    """What vLLM gets, by plan.

    share: of the GPU's memory. Unsloth takes it of what is free, TRL of all. longest: tokens of
    the largest prompt and a completion. rows: completions that are written at once.
    """

    share: float
    longest: int
    rows: int


def engine_room(recipe: Recipe, machine: Here, prompt: PromptSize | None = None) -> EngineRoom:
    """What vLLM gets there; a share of 0.3 without a GPU."""
    setup = planned(_by_vllm(recipe), machine, prompt)
    card = machine.room if setup.backend == "unsloth" else machine.card
    needed = need(recipe, card if machine.cuda else None, setup, prompt)
    share = min(MOST, round(needed.share, 3)) if machine.cuda else 0.3
    rows = recipe.method.batch_size * recipe.method.group_size
    return EngineRoom(share, needed.prompt_tokens + recipe.method.max_new_tokens, rows)


def _by_vllm(recipe: Recipe) -> Recipe:
    model = recipe.model.model_copy(update={"generation": "vllm"})
    return recipe.model_copy(update={"model": model})


def _fits(recipe: Recipe, machine: Here, setup: Setup, prompt: PromptSize | None) -> bool:
    """Whether it fits what is free by plan, where vLLM was left to rftkit with a tenth to spare.

    Not where the model's sizes are unknown.
    """
    try:
        needed = need(recipe, machine.room, setup, prompt)
    except ModelError:
        return False
    found = verdict(needed, machine.room)
    return found == "fits" if recipe.model.generation == "auto" else found != "no"


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
