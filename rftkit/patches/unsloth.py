"""Patches of Unsloth: how vLLM's engine sees images, and which of its weights stay in 16 bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partialmethod
from typing import Any

from rftkit.errors import ModelError
from rftkit.patches import replaced

IMAGE_OPTIONS = "_get_multimodal_engine_args"
QUANTISATION = "BitsAndBytesConfig"


@contextmanager
def engine_with(options: Mapping[str, Any], unquantised: Sequence[str]) -> Iterator[None]:
    """Within it Unsloth builds vLLM's engine with these options about images.

    By itself it makes room for the largest images that the model allows, and shows them at that
    size. unquantised: parts of module names. vLLM quantises every matrix of a 16-bit checkpoint,
    the vision encoder's too, and the trainer shares its weights.
    Raises ModelError where Unsloth no longer has what is replaced.
    """
    from unsloth_zoo import vllm_utils

    for name in (IMAGE_OPTIONS, QUANTISATION):
        if name not in vars(vllm_utils):
            raise ModelError(
                f"model.generation: unsloth_zoo has no {name}; install the versions of "
                'constraints-vllm.txt, or set model.generation = "transformers"'
            )
    own, quantisation = vllm_utils._get_multimodal_engine_args, vllm_utils.BitsAndBytesConfig

    def image_options(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**own(*args, **kwargs), **options}

    started = partialmethod(_sparing, quantisation.__init__, tuple(unquantised))
    with (
        replaced(vllm_utils, IMAGE_OPTIONS, image_options),
        replaced(quantisation, "__init__", started),
    ):
        yield


def _sparing(self: Any, own: Any, unquantised: Sequence[str], *args: Any, **kwargs: Any) -> None:
    """The constructor of vLLM's quantisation; a checkpoint's own list of exceptions stays."""
    spared = kwargs.get("llm_int8_skip_modules") or list(unquantised)
    own(self, *args, **{**kwargs, "llm_int8_skip_modules": spared})
