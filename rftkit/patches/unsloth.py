"""Patch of Unsloth: the options of vLLM's engine that concern images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from rftkit.errors import ModelError
from rftkit.patches import replaced

NAME = "_get_multimodal_engine_args"


@contextmanager
def engine_with(options: Mapping[str, Any]) -> Iterator[None]:
    """Within it Unsloth builds vLLM's engine with these options about images.

    By itself it makes room for the largest images that the model allows, and shows them at that
    size. Raises ModelError where Unsloth no longer has the function that is replaced.
    """
    from unsloth_zoo import vllm_utils

    own = vars(vllm_utils).get(NAME)
    if own is None:
        raise ModelError(
            f"model.generation: unsloth_zoo has no {NAME}; install the versions of "
            'constraints-vllm.txt, or set model.generation = "transformers"'
        )
    with replaced(vllm_utils, NAME, partial(_overridden, own, options)):
        yield


def _overridden(own: Any, options: Mapping[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {**own(*args, **kwargs), **options}
