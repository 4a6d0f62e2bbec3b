"""What vLLM is started with: the options of its engine, and how it sees images.

TRL 1.14, and Unsloth after it, build the engine without the limits of our image processor, and hand
it prompts that hold a token for every patch of an image already. vLLM puts those tokens in itself,
so that every image would stand in the prompt twice (huggingface/trl, issue 6294).
"""

from __future__ import annotations

from typing import Any

from rftkit.models import loading
from rftkit.models.processing.budget import limits_of

IMAGES = 8  # of one prompt, at most


def engine_options(processor: Any) -> dict[str, Any]:
    """What vLLM's engine has to be told so that it computes as transformers does."""
    dtype = str(loading.dtype_here()).removeprefix("torch.")
    return {"dtype": dtype, **images_of_engine(processor)}


def images_of_engine(processor: Any) -> dict[str, Any]:
    """How many images of a prompt the engine takes, and the limits of our image processor."""
    return {
        "limit_mm_per_prompt": {"image": IMAGES, "video": 0},
        "mm_processor_kwargs": limits_of(processor.image_processor),
    }
