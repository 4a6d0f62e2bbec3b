"""Text and images to model inputs, with or without torchvision.

The processors of the Qwen-VL families and SmolVLM insist on a video processor, and that needs
torchvision, which a machine without CUDA rarely has; those of Idefics3 are not found by
transformers' automatic classes there. The same processor is built without its video branch; what it
makes of text and still images is the same.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from transformers import AutoConfig, AutoProcessor, AutoTokenizer
from transformers.image_utils import SizeDict
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
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
    if (kind in STILL or kind in TILED) and find_spec("torchvision") is None:
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
    images = TILED.get(kind, Qwen2VLImageProcessorPil).from_pretrained(
        folder_or_id, revision=revision or "main", trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(
        folder_or_id, revision=revision, trust_remote_code=False
    )
    if kind in STILL:
        return STILL[kind](images, tokenizer, chat_template=tokenizer.chat_template)
    saved, _ = Idefics3Processor.get_processor_dict(folder_or_id, revision=revision)
    return Idefics3Processor(
        images,
        tokenizer,
        image_seq_len=saved.get("image_seq_len", 169),
        chat_template=saved.get("chat_template") or tokenizer.chat_template,
    )


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
# a SmolVLM's processor makes of still images and text what Idefics3's does
TILED: dict[str, Any] = {
    "idefics3": Idefics3ImageProcessorPil,
    "smolvlm": SmolVLMImageProcessorPil,
}
