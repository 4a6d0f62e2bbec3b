"""Vision-language models of real size with random weights, made from their sizes alone.

Speed and memory are those of the real model, answers are noise. The tokenizer is the tiny model's
within the real vocabulary: random weights almost never write the token that ends a reply, so every
completion is as long as it may be, and steps can be compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import logging as transformers_logging

from rftkit.cache import cache_folder
from rftkit.errors import ModelError
from rftkit.model_info.shapes import Shape, Text, Vision
from rftkit.model_info.sizes import shape_of
from rftkit.models.tiny.tokenizer import END, PAD, token_ids, train_tokenizer
from rftkit.recipe.sections import Model

CONFIGS: dict[str, Any] = {
    "qwen2_vl": Qwen2VLConfig, "qwen2_5_vl": Qwen2_5_VLConfig, "qwen3_vl": Qwen3VLConfig,
}  # fmt: skip
SECTIONS = {"qwen2_vl": [16, 24, 24], "qwen2_5_vl": [16, 24, 24], "qwen3_vl": [24, 20, 20]}
TEXTS = ["How many circles are in the image? Give the number, and the reasoning before it."]
MOST_PIXELS = 2**24
DONE = "preprocessor_config.json"  # written last


def random_model(model: Model, say: Callable[[str], None], *, tiny: bool = False) -> Path:
    """The folder of a model of the same sizes as a recipe's, in rftkit's cache, made if needed.

    tiny: the same architecture in small. Raises ModelError for unknown sizes and for architectures
    that are not made here.
    """
    shape = shape_of(model)
    if shape.kind not in CONFIGS:
        raise ModelError(
            f"model.name: random weights are made for Qwen-VL models, not for {shape.name}; name "
            "one of those, or leave out --random-weights"
        )
    folder = cache_folder(say) / f"random-{shape.name}{'-tiny' if tiny else ''}"
    if not (folder / DONE).exists():
        shape = small(shape) if tiny else shape
        say(f"making random weights for {shape.name}, {2 * shape.size / 2**30:.1f} GiB, once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < 2 * shape.size:
            raise ModelError(
                f"{folder}: random weights take {2 * shape.size / 2**30:.1f} GiB and "
                f"{free / 2**30:.1f} are free; make room, or set RFTKIT_CACHE to another disk"
            )
        make(folder, shape)
    return folder


def make(folder: Path, shape: Shape) -> None:
    """Write a model's folder. On the CPU: a GPU is left to the processes that measure."""
    transformers_logging.disable_progress_bar()
    tokenizer = train_tokenizer(TEXTS, 400)
    config = config_of(shape, tokenizer)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(
        config, dtype=torch.bfloat16, trust_remote_code=False
    )
    end, pad = token_ids(tokenizer, [END, PAD])
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, max_shard_size="4GB")
    tokenizer.save_pretrained(folder)
    encoder = shape.vision
    Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4 * encoder.side**2, "longest_edge": MOST_PIXELS},
        patch_size=encoder.patch,
        merge_size=encoder.merge,
    ).save_pretrained(folder)


def small(shape: Shape) -> Shape:
    """The same architecture, a few layers deep and wide, with a small vocabulary."""
    text = replace(
        shape.text, width=128, inner=256, layers=2, heads=4, key_heads=2, head=32, vocabulary=512
    )
    vision = replace(shape.vision, width=64, inner=128, layers=2, extra_merges=0)
    return replace(shape, text=text, vision=vision)


def config_of(shape: Shape, tokenizer: Any) -> Any:
    """transformers' configuration of a model of these sizes."""
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    ids = token_ids(tokenizer, (f"<|{name}|>" for name in names))
    keys = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return CONFIGS[shape.kind](
        text_config=_text(shape, shape.text, tokenizer),
        vision_config=_vision(shape, shape.vision),
        tie_word_embeddings=shape.text.tied,
        **dict(zip(keys, ids, strict=True)),
    )


def _text(shape: Shape, text: Text, tokenizer: Any) -> dict[str, Any]:
    end, pad = token_ids(tokenizer, [END, PAD])
    sections = SECTIONS[shape.kind] if text.head == 128 else [6, 5, 5]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections}
    if shape.kind == "qwen3_vl":
        rope["mrope_interleaved"] = True
    return {
        "vocab_size": text.vocabulary,
        "hidden_size": text.width,
        "intermediate_size": text.inner,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.key_heads,
        "head_dim": text.head,
        "max_position_embeddings": 32768,
        "rope_parameters": rope,
        "tie_word_embeddings": text.tied,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": pad,
    }


def _vision(shape: Shape, encoder: Vision) -> dict[str, Any]:
    common = {
        "depth": encoder.layers,
        "num_heads": 16 if encoder.width >= 1024 else 4,
        "patch_size": encoder.patch,
        "spatial_merge_size": encoder.merge,
    }
    if shape.kind == "qwen2_vl":
        return common | {
            "embed_dim": encoder.width,
            "hidden_size": shape.text.width,
            "mlp_ratio": encoder.inner // encoder.width,
        }
    common |= {
        "hidden_size": encoder.width,
        "intermediate_size": encoder.inner,
        "out_hidden_size": shape.text.width,
    }
    if shape.kind == "qwen3_vl":
        step = encoder.layers // 4
        places = [step * number - 1 for number in range(1, encoder.extra_merges + 1)]
        return common | {
            "deepstack_visual_indexes": places,
            "num_position_embeddings": encoder.positions,
        }
    return common | {"fullatt_block_indexes": list(range(7, encoder.layers, 8)) or [0]}
