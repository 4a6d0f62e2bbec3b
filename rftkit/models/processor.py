"""Text and images to model inputs, with or without torchvision.

The processors of the Qwen-VL families insist on a video processor, and that needs torchvision,
which a machine without CUDA rarely has. There the same processor is built without its video
branch; what it makes of text and still images is the same.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from transformers import AutoConfig, AutoProcessor, AutoTokenizer
from transformers.image_utils import SizeDict
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.processing_utils import ProcessorMixin

IMAGE_TOKEN, VIDEO_TOKEN = "<|image_pad|>", "<|video_pad|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"


def load_processor(
    folder_or_id: str, max_pixels: int | None = None, revision: str | None = None
) -> Any:
    """The model's processor, padding on the left, showing images at `max_pixels` or fewer.

    A model that was made for less than `max_pixels` keeps its own limit.
    Raises OSError if there is no such folder or id.
    """
    config = AutoConfig.from_pretrained(folder_or_id, revision=revision, trust_remote_code=False)
    kind = config.model_type
    if kind in STILL and find_spec("torchvision") is None:
        processor = _still_processor(folder_or_id, kind, revision)
    else:
        processor = AutoProcessor.from_pretrained(
            folder_or_id, revision=revision, trust_remote_code=False
        )
    processor.tokenizer.padding_side = "left"  # replies are generated at the right end
    if max_pixels is not None:
        _limit_pixels(processor.image_processor, max_pixels)
    return processor


def _still_processor(folder_or_id: str, kind: str, revision: str | None) -> Any:
    images = Qwen2VLImageProcessorPil.from_pretrained(
        folder_or_id, revision=revision or "main", trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(
        folder_or_id, revision=revision, trust_remote_code=False
    )
    return STILL[kind](images, tokenizer, chat_template=tokenizer.chat_template)


def _limit_pixels(images: Any, max_pixels: int) -> None:
    """Lowers the image processor's own limit; the Qwen families count it in pixels of the whole."""
    size = images.size
    if "longest_edge" not in size or "shortest_edge" not in size:
        return  # another family, which resizes to a fixed shape
    most = min(max_pixels, size["longest_edge"])
    images.size = SizeDict(shortest_edge=min(size["shortest_edge"], most), longest_edge=most)


def _start(processor: Any, images: Any, tokenizer: Any, chat_template: Any) -> None:
    """What the parents' constructors do, which cannot run without a video processor."""
    processor.image_token, processor.video_token = IMAGE_TOKEN, VIDEO_TOKEN
    processor.vision_start_token, processor.vision_end_token = VISION_START, VISION_END
    for name in ("image_token", "video_token", "vision_start_token", "vision_end_token"):
        token = getattr(processor, name)
        setattr(processor, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
    ProcessorMixin.__init__(processor, images, tokenizer, chat_template=chat_template)


class StillQwen2VLProcessor(Qwen2VLProcessor):
    """Qwen2VLProcessor for still images."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: Any = None) -> None:
        _start(self, image_processor, tokenizer, chat_template)


class StillQwen25VLProcessor(Qwen2_5_VLProcessor):
    """Qwen2_5_VLProcessor for still images."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: Any = None) -> None:
        _start(self, image_processor, tokenizer, chat_template)


class StillQwen3VLProcessor(Qwen3VLProcessor):
    """Qwen3VLProcessor for still images."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: Any = None) -> None:
        _start(self, image_processor, tokenizer, chat_template)


STILL: dict[str, Any] = {
    "qwen2_vl": StillQwen2VLProcessor,
    "qwen2_5_vl": StillQwen25VLProcessor,
    "qwen3_vl": StillQwen3VLProcessor,
}
