"""Builds a tiny model's folder: configuration, tokenizer, image processor, pretrained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig
from transformers import Qwen2_5_VLForConditionalGeneration as Qwen
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import logging as bars

from rftkit.models.processing.still import StillQwen25VLProcessor
from rftkit.models.tiny.course import MERGE, PATCH, Course, Plan
from rftkit.models.tiny.pretrain import Progress, pretrain
from rftkit.models.tiny.tokenizer import END, PAD, SPECIALS, token_ids, train_tokenizer

WIDTH, LAYERS, HEADS, KEY_HEADS = 128, 3, 4, 2


def build_tiny(folder: Path, course: Course, progress: Progress, plan: Plan) -> None:
    """Writes a Qwen2.5-VL of 1.7 million parameters that has had this course to `folder`.

    `progress` gets the steps done and the steps in all. The same plan gives the same weights on
    the same machine.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's own draws stay what they were
        torch.manual_seed(plan.seed)
        _build(folder, course, progress, plan)


def _build(folder: Path, course: Course, progress: Progress, plan: Plan) -> None:
    texts = course.corpus(np.random.default_rng(plan.seed))
    tokenizer = train_tokenizer(texts, course.vocabulary, course.phrases)
    model = Qwen(_config(tokenizer, course.spread))
    images = _images(course.side)
    processor = StillQwen25VLProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
    pretrain(model, processor, course, plan, progress)
    model.generation_config.update(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        do_sample=False,
        suppress_tokens=silent_tokens(tokenizer),
    )
    with _no_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        processor.image_processor.save_pretrained(folder)


@contextmanager
def _no_bars() -> Iterator[None]:
    """transformers shows no progress bars of its own meanwhile."""
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def silent_tokens(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The special ids a reply never holds: all but the end of turn."""
    return token_ids(tokenizer, (token for token in SPECIALS if token != END))


def _images(side: int) -> Qwen2VLImageProcessorPil:
    area = side * side
    return Qwen2VLImageProcessorPil(
        size={"shortest_edge": area, "longest_edge": area}, patch_size=PATCH, merge_size=MERGE
    )


def _config(tokenizer: PreTrainedTokenizerFast, spread: float) -> Qwen2_5_VLConfig:
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "max_position_embeddings": 2048,
        "initializer_range": spread,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [6, 5, 5]},
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": token_ids(tokenizer, [END])[0],
        "pad_token_id": token_ids(tokenizer, [PAD])[0],
    }
    vision: dict[str, Any] = {
        "depth": LAYERS,
        "hidden_size": WIDTH,
        "out_hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_heads": HEADS,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "fullatt_block_indexes": list(range(LAYERS)),
        "initializer_range": spread,
    }
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    ids = token_ids(tokenizer, (f"<|{name}|>" for name in names))
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=ids[0],
        video_token_id=ids[1],
        vision_start_token_id=ids[2],
        vision_end_token_id=ids[3],
    )
