"""Gemma 3 and Gemma 4: most layers see a sliding window only."""

from __future__ import annotations

from typing import Any

from rftkit.model_info.configurations.parts import Configuration, Decoder, encoder


def gemma3(text: Decoder, head: int) -> Configuration:
    """A Gemma 3. head: size of one attention head."""
    return {
        "model_type": "gemma3",
        "mm_tokens_per_image": 256,
        "boi_token_index": 255999,
        "eoi_token_index": 256000,
        "image_token_index": 262144,
        "tie_word_embeddings": True,
        "text_config": text.keys
        | {
            "model_type": "gemma3_text",
            "vocab_size": 262208,
            "head_dim": head,
            "sliding_window": 1024,
        },
        "vision_config": encoder(1152, 4304, 27, 16)
        | {
            "model_type": "siglip_vision_model",
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
        },
    }


def full_every(number: int, layers: int) -> list[str]:
    """Kinds of layers, so many to one that attends to everything."""
    kinds = ("sliding_attention", "full_attention")
    return [kinds[(layer + 1) % number == 0] for layer in range(layers)]


GEMMA4_SMALL_ENCODER = encoder(768, 3072, 16, 12) | {
    "model_type": "gemma4_vision",
    "num_key_value_heads": 12,
    "head_dim": 64,
    "patch_size": 16,
    "pooling_kernel_size": 3,
    "position_embedding_size": 10240,
    "use_clipped_linears": True,
    "standardize": False,
}
GEMMA4_ENCODER = (
    GEMMA4_SMALL_ENCODER
    | encoder(1152, 4304, 27, 16)
    | {"num_key_value_heads": 16, "head_dim": 72, "use_clipped_linears": False, "standardize": True}
)
GEMMA4_EARS = {
    "model_type": "gemma4_audio",
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "subsampling_conv_channels": [128, 32],
    "conv_kernel_size": 5,
    "use_clipped_linears": True,
    "output_proj_dims": 1536,
}


def gemma4_text(text: Decoder, every: int) -> Configuration:
    """What the decoders of all Gemma 4 have."""
    return text.keys | {
        "vocab_size": 262144,
        "head_dim": 256,
        "global_head_dim": 512,
        "layer_types": full_every(every, text.layers),
        "final_logit_softcapping": 30.0,
        "tie_word_embeddings": True,
    }


def gemma4(text: Decoder, every: int, small: bool, **more: Any) -> Configuration:
    """A Gemma 4. small: with ears, the smaller encoder and an embedding for every layer."""
    return {
        "model_type": "gemma4",
        "tie_word_embeddings": True,
        "vision_config": GEMMA4_SMALL_ENCODER if small else GEMMA4_ENCODER,
        "audio_config": GEMMA4_EARS if small else None,
        "text_config": gemma4_text(text, every)
        | {
            "model_type": "gemma4_text",
            "vocab_size_per_layer_input": 262144,
            "hidden_size_per_layer_input": 256 if small else 0,
            "sliding_window": 512 if small else 1024,
            **more,
        },
    }


def gemma4_unified(text: Decoder) -> Configuration:
    """The Gemma 4 without encoders: patches of pixels and of sound enter the language model."""
    return {
        "model_type": "gemma4_unified",
        "tie_word_embeddings": True,
        "vision_config": {
            "patch_size": 16,
            "pooling_kernel_size": 3,
            "mm_embed_dim": text.width,
            "mm_posemb_size": 1120,
            "output_proj_dims": text.width,
        },
        "audio_config": {"audio_embed_dim": 640},
        "text_config": gemma4_text(text, 6)
        | {
            "model_type": "gemma4_unified_text",
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "sliding_window": 1024,
        },
    }
