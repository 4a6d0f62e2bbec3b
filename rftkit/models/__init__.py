"""Models behind one protocol; one line per backend."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.errors import ModelError
from rftkit.recipe import Model

if TYPE_CHECKING:
    from rftkit.models.policy import Policy


def open_policy(settings: Model, adapter: Path | None = None) -> Policy:
    """The recipe's model, with an adapter on it if one is given.

    Raises ModelError if the backend is missing or the model cannot be loaded.
    """
    # as it loads it recommends a kernel to CPU users that changes nothing for them
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from rftkit.models import memory

    with memory.named("loading the model", memory.LOADING):
        if backend(settings) == "unsloth":
            from rftkit.models.unsloth import open_unsloth

            return open_unsloth(settings, adapter)
        from rftkit.models.transformers import open_transformers

        return open_transformers(settings, adapter)


def backend(settings: Model) -> str:
    """The backend that `settings.backend` means on this machine."""
    import torch

    installed, cuda = find_spec("unsloth") is not None, torch.cuda.is_available()
    if settings.backend == "unsloth" and not installed:
        raise ModelError("model.backend: 'unsloth' needs unsloth: pip install 'rftkit[unsloth]'")
    if settings.backend == "unsloth" and not cuda:
        raise ModelError("model.backend: 'unsloth' needs a CUDA GPU; use backend = \"auto\"")
    if settings.backend == "auto":
        return "unsloth" if installed and cuda else "transformers"
    return settings.backend
