"""A model's processor, with or without torchvision."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from transformers import AutoConfig, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import (
    PROCESSOR_MAPPING_NAMES,
    processor_class_from_name,
)

from rftkit.errors import ModelError
from rftkit.models.processing import template
from rftkit.models.processing.budget import limit_pixels
from rftkit.models.processing.lfm2_images import Lfm2VlImageProcessorPil
from rftkit.models.processing.still import still
from rftkit.patches.transformers import gemma4_without_torchvision

# image processors that need no torchvision: module within transformers.models, and class
IMAGES = {
    "qwen2_vl": ("qwen2_vl.image_processing_pil_qwen2_vl", "Qwen2VLImageProcessorPil"),
    "idefics3": ("idefics3.image_processing_pil_idefics3", "Idefics3ImageProcessorPil"),
    "smolvlm": ("smolvlm.image_processing_pil_smolvlm", "SmolVLMImageProcessorPil"),
    "gemma3": ("gemma3.image_processing_pil_gemma3", "Gemma3ImageProcessorPil"),
    "gemma4": ("gemma4.image_processing_pil_gemma4", "Gemma4ImageProcessorPil"),
    "internvl": ("got_ocr2.image_processing_pil_got_ocr2", "GotOcr2ImageProcessorPil"),
    "llava_onevision": (
        "llava_onevision.image_processing_pil_llava_onevision",
        "LlavaOnevisionImageProcessorPil",
    ),
}
IMAGES |= dict.fromkeys(("qwen2_5_vl", "qwen3_vl", "qwen3_5"), IMAGES["qwen2_vl"])
# a SmolVLM's processor makes of still images and text what Idefics3's does
CLASSES = {"smolvlm": "Idefics3Processor"}
# TRL 1.14 hands every input on to methods that do not know these. Without its own LLaVA-OneVision
# takes each image for the only one of its prompt, so that several in one are an error
DROPPED = {"llava_onevision": "batch_num_images"}
NEEDS_TORCHVISION = ("gemma4_unified",)  # its images are cut by torchvision alone


def load_processor(
    folder_or_id: str, max_pixels: int | None = None, revision: str | None = None
) -> Any:
    """The model's processor, padding on the left, showing images at `max_pixels` or fewer.

    A model that was made for less than `max_pixels` keeps its own limit. The chat template's switch
    for thinking is decided, and a turn ends where the template ends it (`template`).
    Raises OSError if there is no such folder or id, ModelError if there is no chat template.
    """
    config = AutoConfig.from_pretrained(folder_or_id, revision=revision, trust_remote_code=False)
    kind = config.model_type
    processor = None
    if find_spec("torchvision") is None:
        processor = _without_torchvision(folder_or_id, kind, revision)
    if processor is None:
        processor = AutoProcessor.from_pretrained(
            folder_or_id, revision=revision, trust_remote_code=False
        )
    if kind in DROPPED:
        processor.__class__ = _dropping(type(processor), DROPPED[kind])
    processor.tokenizer.padding_side = "left"  # replies are generated at the right end
    template.settle(processor, kind, folder_or_id)
    if max_pixels is not None:
        limit_pixels(processor.image_processor, kind, max_pixels)
    return processor


def _dropping(kind: type[Any], name: str) -> type[Any]:
    """The class of a processor that keeps one of its outputs to itself."""

    def unused(self: Any) -> list[str]:
        return [*kind.unused_input_names.fget(self), name]

    return type(kind.__name__, (kind,), {"unused_input_names": property(unused)})


def _without_torchvision(folder_or_id: str, kind: str, revision: str | None) -> Any:
    """The processor for text and still images; None where transformers' own needs nothing more."""
    if kind in NEEDS_TORCHVISION:
        raise ModelError(
            f"model.name: {folder_or_id}: the image processor of architecture {kind!r} needs "
            "torchvision: pip install torchvision"
        )
    images = _images_without_torchvision(kind)
    if images is None:
        return None
    with gemma4_without_torchvision():
        found = processor_class_from_name(CLASSES.get(kind) or PROCESSOR_MAPPING_NAMES[kind])
    images = images.from_pretrained(
        folder_or_id, revision=revision or "main", trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(
        folder_or_id, revision=revision, trust_remote_code=False
    )
    saved, _ = found.get_processor_dict(folder_or_id, revision=revision)
    parts = found.get_attributes()
    own = inspect.signature(found.__init__).parameters.keys() - {"self", *parts}
    settings = {key: value for key, value in saved.items() if key in own}
    settings["chat_template"] = settings.get("chat_template") or tokenizer.chat_template
    none = dict.fromkeys(parts)
    return still(found)(**none | {"image_processor": images, "tokenizer": tokenizer}, **settings)


def _images_without_torchvision(kind: str) -> Any:
    """The class of the image processor; None of an architecture that is not declared."""
    if kind == "lfm2_vl":
        return Lfm2VlImageProcessorPil
    if kind not in IMAGES:
        return None
    module, name = IMAGES[kind]
    return getattr(import_module(f"transformers.models.{module}"), name)
