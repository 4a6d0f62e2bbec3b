"""Whatever a library says when memory runs out, or the GPU is lost, is one line with remedies."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest
import torch

from rftkit import models
from rftkit.errors import TrainingError
from rftkit.models import loading, out_of_memory
from rftkit.recipe.sections import Model

SAYS = {
    "the GPU ran out of memory": [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        ValueError("Free memory on device cuda:0 (3.1/15.8 GiB) on startup is less than desired "
                   "GPU memory utilization (0.85, 13.4 GiB)."),
        ValueError("No available memory for the cache blocks. Try increasing "
                   "`gpu_memory_utilization` when initializing the engine."),
        ValueError("To serve at least one request with the model's max seq len (8192), 1.1 GiB KV "
                   "cache is needed, which is larger than the available KV cache memory"),
    ],
    "this machine ran out of memory": [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't "
                     "allocate memory: you tried to allocate 9 bytes. Error code 12"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
    ],
    "the GPU failed": [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    ],
}  # fmt: skip
ERRORS = [(what, error) for what, errors in SAYS.items() for error in errors]
OURS_OR_THE_USERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("max_model_len"),
    OSError(28, "No space left on device"), KeyError("x"), KeyboardInterrupt(),
]  # fmt: skip


@pytest.mark.parametrize(("what", "error"), ERRORS)
def test_it_is_named_with_what_was_done_and_what_to_do(what: str, error: Exception) -> None:
    with pytest.raises(TrainingError) as caught, out_of_memory.named("training", "a, b, c"):
        raise error
    line, ran_out = str(caught.value), "ran out" in what
    assert line.startswith(f"{what} while training (")
    assert line.endswith("; change in this order: a, b, c") is ran_out
    assert ("`rftkit doctor`; what was saved is kept" in line) is not ran_out
    assert "\n" not in line
    assert caught.value.exit_code == 3
    assert out_of_memory.ran_out(error) is ran_out  # else nothing is tried again in smaller parts


@pytest.mark.parametrize("error", OURS_OR_THE_USERS)
def test_other_errors_stay_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, out_of_memory.named("training", "a, b, c"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(("what", "error"), ERRORS)
def test_where_a_model_is_loaded_it_is_not_called_a_damaged_one(
    what: str, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def load(*_: object) -> None:
        with loading.reading(loading.Source(str(tmp_path), None)):
            raise error

    monkeypatch.setattr(models, "_open_trainable", load)
    settings = Model(name="tiny")
    for opened in (
        lambda: models.open_for_inference(settings),
        lambda: models.open_base(settings),
        lambda: models.open_for_training(fakes.recipe()),
    ):
        with pytest.raises(TrainingError) as caught:
            opened()
        assert str(caught.value).startswith(f"{what} while loading the model (")
        if "ran out" in what:
            assert str(caught.value).endswith(out_of_memory.LOADING)
