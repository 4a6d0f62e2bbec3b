"""Models behind one protocol; one line per backend."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rftkit.errors import ModelError
from rftkit.messages import first_line
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model

if TYPE_CHECKING:
    from rftkit.hardware.prompt_size import PromptSize
    from rftkit.models.policy import AnswerModel, Policy


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

    _quiet()
    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        if engine == "vllm":
            from rftkit.models.vllm import open_vllm

            return open_vllm(settings, adapter)
        return _open_trainable(settings, adapter)


def _open_trainable(settings: Model, adapter: Path | None) -> Policy:
    from rftkit.models import backends

    if backends.backend_of(settings, backends.here()) == "unsloth":
        with _importing_unsloth():
            from rftkit.models.unsloth import Training, open_unsloth

        return open_unsloth(settings, adapter, None if adapter else Training())
    from rftkit.models.transformers import open_transformers

    return open_transformers(settings, adapter)


def open_for_training(recipe: Recipe, prompt: PromptSize | None = None) -> Policy:
    """The recipe's model, to be trained, with the engine beside it that writes completions.

    prompt: the largest one that it is trained on; assumed if None.
    Raises RecipeError, before anything loads, for a model and an engine that do not go together.
    """
    from rftkit.models import backends, out_of_memory

    machine = backends.here()
    generation = backends.generation_of(recipe, machine, prompt)
    if generation == "vllm":
        backends.set_environment()
    _quiet()
    with out_of_memory.named("loading the model", out_of_memory.LOADING):
        if backends.backend_of(recipe.model, machine) != "unsloth":
            return _open_trainable(recipe.model, None)
        with _importing_unsloth():
            from rftkit.models.unsloth import Training, open_unsloth

        fast = generation == "vllm"
        share = backends.share(recipe, machine, prompt) if fast else 0.0
        longest = backends.longest(recipe, prompt) if fast else 0
        return open_unsloth(recipe.model, None, Training(recipe.seed, True, share, longest))


@contextmanager
def _importing_unsloth() -> Iterator[None]:
    """Raises ModelError where it is installed and does not load."""
    try:
        yield
    except (ImportError, OSError, RuntimeError) as error:
        first = first_line(error)
        raise ModelError(
            f"model.backend: unsloth does not load ({first}); see `rftkit doctor`, or set "
            'model.backend = "transformers"'
        ) from None


def _quiet() -> None:
    """bitsandbytes recommends a kernel to CPU users as it loads that changes nothing for them."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
