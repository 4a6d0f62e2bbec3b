"""Processors of families that also read video or sound, for still images alone.

Their video processors need torchvision, which a machine without CUDA rarely has, and their
processors cannot be built without one. Here the same class is built of its image processor and its
tokenizer; what it makes of text and still images is the same.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.processing_utils import ProcessorMixin

OTHER_SENSES = ("video_processor", "feature_extractor")  # parts that are left out


class _StillOnly(ProcessorMixin):
    """Stands between a processor and `ProcessorMixin`, and hides its other parts from both."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **{k: v for k, v in named.items() if k not in OTHER_SENSES})

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Names of the parts, in the order of the constructor."""
        return [part for part in super().get_attributes() if part not in OTHER_SENSES]


@cache
def still(kind: type[Any]) -> type[Any]:
    """The class of a processor without its video and sound.

    It is built as its parent is. It keeps its parent's name, which is saved beside what it saves.
    """
    return type(kind.__name__, (kind, _StillOnly), {"__module__": __name__})


StillQwen25VLProcessor = still(Qwen2_5_VLProcessor)  # of the built-in models
