"""Running out of GPU memory, in words: what was being done, and what to change, best first."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from rftkit.errors import TrainingError
from rftkit.messages import first_line
from rftkit.recipe.schema import Recipe

SAID = ("CUDA out of memory", "CUDA driver error: out of memory", "STATUS_ALLOC_FAILED")


@contextmanager
def named(doing: str, remedies: str) -> Iterator[None]:
    """Raises TrainingError in place of an out-of-memory error raised within."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not ran_out(error):
            raise
        first = first_line(error, 120)
        raise TrainingError(
            f"the GPU ran out of memory while {doing} ({first}); change in this order: {remedies}"
        ) from None


def free_memory() -> None:
    """Give back what nothing uses any more: trainers and models refer to themselves in circles."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def ran_out(error: Exception) -> bool:
    """Whether this is the GPU's memory running out: of some libraries only the text says so."""
    import torch

    message = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(text in message for text in SAID)


def training(recipe: Recipe) -> str:
    """Remedies when rollout or backward needs too much."""
    method = recipe.method
    return (
        f"model.max_pixels={recipe.model.max_pixels // 2}, "
        f"method.group_size={max(2, method.group_size // 2)}, "
        f"method.max_new_tokens={max(8, method.max_new_tokens // 2)}"
    )


def evaluating(recipe: Recipe) -> str:
    """Remedies when answering a batch needs too much."""
    return (
        f"eval.batch_size={max(1, recipe.eval.batch_size // 2)}, "
        f"model.max_pixels={recipe.model.max_pixels // 2}, "
        f"method.max_new_tokens={max(8, recipe.method.max_new_tokens // 2)}"
    )


LOADING = "close other programs that use the GPU, model.load_in_4bit=true, a smaller model.name"
