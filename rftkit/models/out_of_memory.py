"""Running out of memory, in words: what was being done, and what to change, best first."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager

from rftkit.errors import TrainingError
from rftkit.messages import first_line
from rftkit.recipe.schema import Recipe

SAID = re.compile(  # by torch, cuBLAS, cuDNN, bitsandbytes and vLLM
    r"CUDA (driver |runtime )?(error: )?out of memory|_STATUS_ALLOC_FAILED|CUDA_ERROR_OUT_OF_MEMORY"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_NOT_INITIALIZED"  # a workspace that did not fit
    r"|unable to find an engine to execute|Unable to find a valid cuDNN algorithm"
    r"|Free memory on device .* less than desired|No available memory for the cache blocks"
    r"|larger than the available KV cache memory"
)
ON_CPU = re.compile(r"DefaultCPUAllocator|alloc_cpu|Cannot allocate memory|can't start new thread")
# after which this process reaches the GPU no more
LOST = re.compile(r"CUDA error: (?!out of memory)|_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR)\b")


@contextmanager
def named(doing: str, remedies: str) -> Iterator[None]:
    """Raises TrainingError in place of an out-of-memory error raised within, or of a lost GPU."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        first = first_line(error, 120)
        if ran_out(error):
            line = (
                f"the GPU ran out of memory while {doing} ({first}); change in this order: "
                f"{remedies}"
            )
            if _on_cpu(error):
                line = line.replace("the GPU", "this machine", 1)
            raise TrainingError(line) from None
        if lost(error):
            raise TrainingError(
                f"the GPU failed while {doing} ({first}); do it again, and if it comes back see "
                "`rftkit doctor`; what was saved is kept"
            ) from None
        raise


def free_memory() -> None:
    """Give back what nothing uses any more: trainers and models refer to themselves in circles."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def ran_out(error: BaseException) -> bool:
    """Whether this is memory running out: of some libraries only the text says so."""
    import torch

    return (
        isinstance(error, torch.OutOfMemoryError)
        or _on_cpu(error)
        or (isinstance(error, RuntimeError | ValueError) and bool(SAID.search(str(error))))
    )


def lost(error: BaseException) -> bool:
    """Whether the GPU is gone for this process."""
    return isinstance(error, RuntimeError) and bool(LOST.search(str(error))) and not ran_out(error)


def _on_cpu(error: BaseException) -> bool:
    """Whether it is the computer's memory, not a GPU's."""
    said = isinstance(error, RuntimeError | OSError) and bool(ON_CPU.search(str(error)))
    return isinstance(error, MemoryError) or said


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
STARTING = (
    "close other programs that use the GPU, a smaller method.max_new_tokens, "
    "model.generation=transformers"
)
