"""Tiny random models of each architecture that is declared, as a folder that anyone could load.

Their weights are noise, so their answers are too. Tokens, templates and processors are laid out as
those of the real models: marks around images, ends of turns, switches for thinking.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

from rftkit.models.tiny.tokenizer import train_tokenizer

WORDS = ["How many circles are in the image? Give the number, a label, a reason. digit 0123456789"]
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
TURNS = (
    "{%- for m in messages %}START{{ m['role'] }}\n{%- if m['content'] is string %}\n"
    "{{ m['content'] }}{% else %}\n{% for p in m['content'] %}{% if p['type'] == 'image' %}IMAGE"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}END\n{% endfor %}"
    "{%- if add_generation_prompt %}STARTassistant\n{% endif %}"
)
THINKS = (
    "{%- if add_generation_prompt %}{% if enable_thinking is defined and enable_thinking is false "
    "%}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)


@dataclass(frozen=True)
class Architecture:
    """A tiny model. config: of its ids and the size of its vocabulary. end: of a turn.

    image: how the template shows one. named: special tokens that the tokenizer knows by a name.
    """

    kind: str
    config: Callable[[dict[str, int], int], dict[str, Any]]
    images: dict[str, Any]
    image: str = "<|vision_start|><|image_pad|><|vision_end|>"
    start: str = "<|im_start|>"
    end: str = "<|im_end|>"
    extra: str = ""
    named: dict[str, str] = field(default_factory=dict)
    processor: dict[str, Any] = field(default_factory=dict)
    document_end: str = ""


def text(size: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": size, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "max_position_embeddings": 4096, "tie_word_embeddings": True, **more,
    }  # fmt: skip


def encoder(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, **more,
    }  # fmt: skip


def qwen35(ids: dict[str, int], size: int) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1],
            "mrope_interleaved": True, "partial_rotary_factor": 0.5}  # fmt: skip
    return {
        "text_config": text(
            size, num_hidden_layers=4, rope_parameters=rope, linear_num_key_heads=2,
            linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16,
            full_attention_interval=4,
        ),
        "vision_config": {
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2,
            "out_hidden_size": 64, "patch_size": 16, "spatial_merge_size": 2,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [],
        },
        "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }  # fmt: skip


def qwen(ids: dict[str, int], size: int, kind: str) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2]}
    eyes = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2}
    sides = {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64}
    own: dict[str, dict[str, Any]] = {
        "qwen2_vl": {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2},
        "qwen2_5_vl": {**sides, "fullatt_block_indexes": [1]},
        "qwen3_vl": {**sides, "patch_size": 16, "deepstack_visual_indexes": [0],
                     "num_position_embeddings": 64},
    }  # fmt: skip
    layers = {"num_hidden_layers": 3} if kind == "qwen3_vl" else {}
    if kind == "qwen3_vl":
        rope["mrope_interleaved"] = True
    return {
        "text_config": text(size, rope_parameters=rope, **layers),
        "vision_config": eyes | own[kind],
        "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }  # fmt: skip


def qwen_images(patch: int) -> dict[str, Any]:
    side = (4 * patch) ** 2
    return HALF | {
        "image_processor_type": "Qwen2VLImageProcessor", "patch_size": patch, "merge_size": 2,
        "size": {"shortest_edge": side, "longest_edge": side},
    }  # fmt: skip


def gemma3(ids: dict[str, int], size: int) -> dict[str, Any]:
    return {
        "text_config": text(
            size, sliding_window=64, query_pre_attn_scalar=16,
            layer_types=["sliding_attention", "full_attention"],
        ),
        "vision_config": encoder(
            model_type="siglip_vision_model", image_size=56, patch_size=14, vision_use_head=False
        ),
        "mm_tokens_per_image": 4, "image_token_index": ids["<image_soft_token>"],
        "boi_token_index": ids["<start_of_image>"], "eoi_token_index": ids["<end_of_image>"],
    }  # fmt: skip


def gemma4(ids: dict[str, int], size: int) -> dict[str, Any]:
    return {
        "text_config": text(
            size, num_hidden_layers=4, sliding_window=64, global_head_dim=32,
            layer_types=["sliding_attention", "full_attention"] * 2,
            vocab_size_per_layer_input=size, hidden_size_per_layer_input=8, num_kv_shared_layers=2,
        ),
        "vision_config": encoder(
            num_key_value_heads=2, head_dim=16, patch_size=16, pooling_kernel_size=3,
            position_embedding_size=64, use_clipped_linears=True,
        ),
        "audio_config": None, "image_token_id": ids["<|image|>"],
        "boi_token_id": ids["<|image>"], "eoi_token_id": ids["<image|>"],
    }  # fmt: skip


def internvl(ids: dict[str, int], size: int) -> dict[str, Any]:
    return {
        "text_config": text(size, model_type="qwen3"),
        "vision_config": encoder(
            image_size=[56, 56], patch_size=[14, 14], attention_bias=True, use_qk_norm=False
        ),
        "image_token_id": ids["<IMG_CONTEXT>"], "downsample_ratio": 0.5,
    }  # fmt: skip


def smolvlm(ids: dict[str, int], size: int) -> dict[str, Any]:
    return {
        "text_config": text(size, model_type="llama", pad_token_id=ids["<|endoftext|>"]),
        "vision_config": encoder(image_size=56, patch_size=14),
        "scale_factor": 2, "image_token_id": ids["<image>"],
    }  # fmt: skip


def lfm2(ids: dict[str, int], size: int) -> dict[str, Any]:
    wanted = text(
        size, model_type="lfm2", num_hidden_layers=3, block_auto_adjust_ff_dim=False,
        layer_types=["conv", "full_attention", "conv"],
    )  # fmt: skip
    return {
        "text_config": {key: value for key, value in wanted.items() if key != "head_dim"},
        "vision_config": encoder(
            model_type="siglip2_vision_model", num_patches=16, patch_size=16, vision_use_head=False
        ),
        "image_token_id": ids["<image>"], "downsample_factor": 2, "projector_hidden_size": 48,
    }  # fmt: skip


def onevision(ids: dict[str, int], size: int) -> dict[str, Any]:
    return {
        "text_config": text(size, model_type="qwen2"),
        "vision_config": encoder(
            model_type="siglip_vision_model", image_size=56, patch_size=14, vision_use_head=False
        ),
        "image_token_index": ids["<image>"], "video_token_index": ids["<video>"],
        "image_grid_pinpoints": [[56, 56], [56, 112], [112, 56]],
    }  # fmt: skip


def llava(ids: dict[str, int], size: int) -> dict[str, Any]:
    return {
        "text_config": text(size, model_type="llama"),
        "vision_config": encoder(
            model_type="clip_vision_model", image_size=56, patch_size=14, projection_dim=32
        ),
        "image_token_index": ids["<image>"], "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }  # fmt: skip


SQUARE = {"size": {"height": 56, "width": 56}}
ARCHITECTURES = {
    a.kind: a
    for a in (
        Architecture("qwen2_vl", partial(qwen, kind="qwen2_vl"), qwen_images(14)),
        Architecture("qwen2_5_vl", partial(qwen, kind="qwen2_5_vl"), qwen_images(14)),
        Architecture("qwen3_vl", partial(qwen, kind="qwen3_vl"), qwen_images(16)),
        Architecture("qwen3_5", qwen35, qwen_images(16)),
        Architecture(
            "gemma3",
            gemma3,
            HALF | SQUARE | {"image_processor_type": "Gemma3ImageProcessor", "image_seq_length": 4},
            "<start_of_image>",
            "<start_of_turn>",
            "<end_of_turn>",
            extra="<image_soft_token> <end_of_image>",
            named={"image_token": "<image_soft_token>", "boi_token": "<start_of_image>",
                   "eoi_token": "<end_of_image>"},
            processor={"image_seq_length": 4},
            document_end="<eos>",
        ),
        Architecture(
            "gemma4",
            gemma4,
            {"image_processor_type": "Gemma4ImageProcessor", "max_soft_tokens": 70},
            "<|image|>",
            "<|turn>",
            "<turn|>",
            extra="<|image> <image|> <|audio|> <|audio> <audio|>",
            named={"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>",
                   "audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"},
            document_end="<eos>",
        ),
        Architecture(
            "internvl",
            internvl,
            HALF | SQUARE | {"image_processor_type": "GotOcr2ImageProcessor"},
            "<IMG_CONTEXT>",
            extra="<img> </img> <video>",
            named={"start_image_token": "<img>", "end_image_token": "</img>",
                   "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"},
            processor={"image_seq_length": 4},
        ),
        Architecture(
            "smolvlm",
            smolvlm,
            HALF
            | {
                "image_processor_type": "SmolVLMImageProcessor",
                "size": {"longest_edge": 112},
                "max_image_size": {"longest_edge": 56},
            },
            "<image>",
            end="<end_of_utterance>",
            extra="<fake_token_around_image> <global-img> " + " ".join(
                f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)),
            processor={"image_seq_len": 4},
        ),
        Architecture(
            "lfm2_vl",
            lfm2,
            HALF
            | {
                "image_processor_type": "Lfm2VlImageProcessorFast",
                "min_image_tokens": 1,
                "max_image_tokens": 4,
                "tile_size": 64,
            },
            "<image>",
            extra="<|image_start|> <|image_end|> <|img_thumbnail|>",
        ),
        Architecture(
            "llava_onevision",
            onevision,
            HALF
            | SQUARE
            | {
                "image_processor_type": "LlavaOnevisionImageProcessor",
                "image_grid_pinpoints": [[56, 56], [56, 112], [112, 56]],
            },
            "<image>",
            extra="<video>",
            processor={"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
        ),
    )
}  # fmt: skip


# of which rftkit declares nothing
UNDECLARED = {
    "llava": Architecture(
        "llava",
        llava,
        HALF | {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 56},
            "crop_size": {"height": 56, "width": 56},
        },
        "<image>",
        processor={"patch_size": 14, "vision_feature_select_strategy": "default",
                   "num_additional_image_tokens": 1},
    )
}  # fmt: skip


def make(folder: Path, kind: str) -> Path:
    """Write the folder of a tiny model of this architecture; returns it."""
    wanted = (ARCHITECTURES | UNDECLARED)[kind]
    tokenizer = train_tokenizer(WORDS, 320)
    marks = [wanted.image, wanted.start, wanted.end, wanted.document_end, *wanted.extra.split()]
    new = [mark for mark in marks if mark and "><" not in mark]
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in new])
    tokenizer.eos_token = wanted.document_end or wanted.end
    template = TURNS.replace("IMAGE", wanted.image).replace("START", wanted.start)
    tokenizer.chat_template = template.replace("END", wanted.end) + (
        THINKS if kind == "qwen3_5" else ""
    )
    ids = tokenizer.get_vocab()
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, **wanted.config(ids, len(tokenizer)), tie_word_embeddings=True
    )
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    with torch.no_grad():  # so large that an image and a position matter to what is written
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.normal_(0, weight[0].numel() ** -0.5)
    model.generation_config = GenerationConfig(
        eos_token_id=sorted({ids[wanted.end], tokenizer.eos_token_id}),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings |= {"extra_special_tokens": wanted.named} if wanted.named else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(wanted.images), "utf-8")
    if wanted.processor:
        (folder / "processor_config.json").write_text(json.dumps(wanted.processor), "utf-8")
    return folder
