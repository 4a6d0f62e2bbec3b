"""Models behind one protocol; one line per backend."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rftkit.cache import cache_folder
from rftkit.errors import ModelError, TrainingError
from rftkit.messages import first_line
from rftkit.models.hub import require_model
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model
from rftkit.runs.adapter import Checkpoint, base_of

if TYPE_CHECKING:
    from rftkit.hardware.backends import EngineRoom
    from rftkit.hardware.prompt_size import PromptSize
    from rftkit.models.policy import AnswerModel, Policy, Prompt


def open_for_inference(
    settings: Model,
    adapter: Path | None = None,
    engine: Literal["transformers", "vllm"] = "transformers",
) -> AnswerModel:
    """The recipe's model, with an adapter on it if one is given.

    engine: what answers; vLLM only answers, and cannot be trained.
    Raises ModelError if the backend is missing or the model cannot be loaded.
    """
    from rftkit.models import out_of_memory

    require_model(settings)
    _quiet()
    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        if engine == "vllm":
            from rftkit.models.vllm import open_vllm

            return open_vllm(settings, adapter)
        return _open_trainable(settings, adapter)


def base_note(ckpt: Checkpoint) -> str:
    """That the base model's weights are others than those an adapter was trained on; else "".

    Only of a model in a folder: one of the hub is known by its name and revision.
    """
    from rftkit.models import loading

    source = loading.resolve(ckpt.recipe.model.name)
    trained_on = base_of(ckpt)
    if not trained_on or not Path(source.name).is_dir():
        return ""
    if loading.fingerprint(source) == trained_on:
        return ""
    return (
        f"note: the weights of {ckpt.recipe.model.name} are others than those that {ckpt.adapter} "
        "was trained on, so its answers are others too"
    )


def open_base(settings: Model) -> Policy:
    """The recipe's model without a trained adapter, where more than its answers is wanted.

    Raises ModelError if the backend is missing or the model cannot be loaded.
    """
    from rftkit.models import out_of_memory

    require_model(settings)
    _quiet()
    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        return _open_trainable(settings, None)


def _open_trainable(settings: Model, adapter: Path | None) -> Policy:
    from rftkit.hardware import backends

    if backends.backend_of(settings, backends.here()) == "unsloth":
        with importing_unsloth():
            from rftkit.models.unsloth import Training, open_unsloth

        return open_unsloth(settings, adapter, None if adapter else Training())
    from rftkit.models.transformers import open_transformers

    return open_transformers(settings, adapter)


def open_for_training(
    recipe: Recipe,
    prompt: PromptSize | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Policy:
    """The recipe's model, to be trained, with the engine beside it that writes completions.

    prompt: the largest one that it is trained on; assumed if None. say: is told where an engine
    that was left to rftkit does not start, and the next best takes its place.
    Raises RecipeError, before anything loads, for a model and an engine that do not go together.
    """
    from rftkit.hardware import backends
    from rftkit.models import out_of_memory

    machine = backends.here()
    backends.check_here(recipe, machine, prompt)
    require_model(recipe.model)
    generation = backends.generation_of(recipe, machine, prompt)
    if generation == "vllm":
        backends.set_environment()
    _quiet()
    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        if backends.backend_of(recipe.model, machine) != "unsloth":
            policy = _open_trainable(recipe.model, None)
            policy.generation = generation
            return policy
    if generation == "vllm":
        room = backends.engine_room(recipe, machine, prompt)
        try:
            policy = _opened_by_unsloth(recipe, room)
        except (ModelError, TrainingError) as error:
            if recipe.model.generation != "auto":
                raise
            say(f"vLLM does not start ({error}); completions are written without it")
        else:
            policy.generation = generation
            return policy
        out_of_memory.free_memory()  # outside the handler: its traceback holds what was loaded
        generation = backends.generation_of(recipe, replace(machine, vllm=False), prompt)
    policy = _opened_by_unsloth(recipe, None)
    policy.generation = generation
    return policy


def try_once(policy: Policy, prompt: Prompt) -> None:
    """Raises ModelError if a model cannot read a prompt, or makes no numbers of it.

    As one whose images are cut into patches of another size than its weights were trained on. Not
    through Unsloth, which sets its model up for training as it loads.
    """
    import torch

    from rftkit.models import loading, out_of_memory
    from rftkit.models.finite import fault
    from rftkit.models.transformers import TransformersPolicy

    if not isinstance(policy, TransformersPolicy) or policy.backend != "transformers":
        return
    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        with torch.inference_mode(), loading.answering(policy.source):
            ((logp,),) = policy.answer_logps([prompt], [[policy.answer_ids("")]], shared=False)
        if not logp.isfinite():
            raise ModelError(fault(policy.model))


def _opened_by_unsloth(recipe: Recipe, engine: EngineRoom | None) -> Policy:
    from rftkit.models import out_of_memory

    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        with importing_unsloth():
            from rftkit.models.unsloth import Training, open_unsloth

        return open_unsloth(recipe.model, None, Training(recipe.seed, True, engine))


@contextmanager
def importing_unsloth() -> Iterator[None]:
    """Within it Unsloth may be imported: its banner goes to standard error, where progress goes.

    It asks the hub for nothing, and writes what it compiles into rftkit's cache instead of the
    current folder. Raises ModelError where it is installed and does not load.
    """
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(_compiled_modules()))
    # its generate asks for a static cache, whose rows cannot be copied; it compiles none of these
    os.environ.setdefault("UNSLOTH_DISABLE_FAST_GENERATION", "1")
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (ImportError, OSError, RuntimeError) as error:
        first = first_line(error)
        raise ModelError(
            f"model.backend: unsloth does not load ({first}); see `rftkit doctor`, or set "
            'model.backend = "transformers"'
        ) from None


def _compiled_modules() -> Path:
    """A folder for what Unsloth makes of the sources of this very transformers and TRL."""
    installed = []
    for name in ("unsloth", "unsloth_zoo", "transformers", "trl"):
        with suppress(PackageNotFoundError):
            installed.append(version(name))
    return cache_folder(lambda line: None) / f"unsloth-{'-'.join(installed)}"


def _quiet() -> None:
    """bitsandbytes recommends a kernel to CPU users as it loads that changes nothing for them."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
