"""Qwen3.5: three of four layers carry a state instead of keys and values."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.model_info.configurations.parts import Configuration, Decoder


def qwen35(
    text: Decoder, value_heads: int, encoder: Sequence[int], tied: bool = True
) -> Configuration:
    """A Qwen3.5. encoder: depth, width, inner and heads."""
    depth, width, inner, heads = encoder
    return {
        "model_type": "qwen3_5",
        "tie_word_embeddings": tied,
        "image_token_id": 248056,
        "video_token_id": 248057,
        "vision_start_token_id": 248053,
        "vision_end_token_id": 248054,
        "text_config": text.keys
        | {
            "model_type": "qwen3_5_text",
            "vocab_size": 248320,
            "head_dim": 256,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": value_heads,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4,
            "full_attention_interval": 4,
            "attn_output_gate": True,
            "tie_word_embeddings": tied,
            "max_position_embeddings": 262144,
        },
        "vision_config": {
            "model_type": "qwen3_5_vision",
            "depth": depth,
            "hidden_size": width,
            "intermediate_size": inner,
            "num_heads": heads,
            "out_hidden_size": text.width,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [],
        },
    }
