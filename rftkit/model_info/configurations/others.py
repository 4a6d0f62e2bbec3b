"""InternVL3.5, SmolVLM2, LFM2-VL and LLaVA-OneVision."""

from __future__ import annotations

from rftkit.model_info.configurations.parts import Configuration, Decoder, encoder


def internvl(text: Decoder) -> Configuration:
    """An InternVL3.5 in the format of transformers."""
    return {
        "model_type": "internvl",
        "image_seq_length": 256,
        "downsample_ratio": 0.5,
        "image_token_id": 151671,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": False,
        "text_config": text.keys
        | {
            "model_type": "qwen3",
            "vocab_size": 151936,
            "head_dim": 128,
            "attention_bias": False,
            "tie_word_embeddings": False,
        },
        "vision_config": encoder(1024, 4096, 24, 16)
        | {
            "model_type": "internvl_vision",
            "image_size": [448, 448],
            "patch_size": [14, 14],
            "attention_bias": True,
            "use_qk_norm": False,
            "norm_type": "layer_norm",
            "layer_scale_init_value": 0.1,
            "use_mean_pooling": True,
            "use_absolute_position_embeddings": True,
        },
    }


SIGLIP_SMALL = encoder(768, 3072, 12, 12)
SIGLIP = encoder(1152, 4304, 27, 16)


def smolvlm2(text: Decoder, scale: int, side: int, patch: int) -> Configuration:
    """A SmolVLM2. scale: patches a side in a token; side, patch: of a tile, in pixels."""
    encoder = SIGLIP_SMALL if patch == 16 else SIGLIP
    return {
        "model_type": "smolvlm",
        "scale_factor": scale,
        "image_token_id": 49190,
        "tie_word_embeddings": False,
        "text_config": text.keys
        | {
            "model_type": "llama",
            "vocab_size": 49280,
            "head_dim": 64,
            "tie_word_embeddings": False,
        },
        "vision_config": encoder
        | {"model_type": "smolvlm_vision", "image_size": side, "patch_size": patch},
    }


def lfm2(
    text: Decoder, encoder: Configuration, projector: int, vocabulary: int = 65536
) -> Configuration:
    """An LFM2-VL: attention in 6 of 16 layers or 8 of 30, short convolutions in the others."""
    deep = text.layers == 30
    attending = (2, 5, 9, 13, 17, 21, 24, 27) if deep else (2, 5, 8, 10, 12, 14)
    kinds = ["full_attention" if n in attending else "conv" for n in range(text.layers)]
    return {
        "model_type": "lfm2_vl",
        "downsample_factor": 2,
        "projector_hidden_size": projector,
        "projector_use_layernorm": projector == 2560,
        "projector_bias": True,
        "projector_hidden_act": "gelu",
        "image_token_id": 396,
        "tie_word_embeddings": True,
        "text_config": text.keys
        | {
            "model_type": "lfm2",
            "vocab_size": vocabulary,
            "block_auto_adjust_ff_dim": not deep,  # to two thirds, a multiple of 256
            "block_multiple_of": 256,
            "block_ffn_dim_multiplier": 1.0,
            "conv_L_cache": 3,
            "layer_types": kinds,
        },
        "vision_config": encoder
        | {
            "model_type": "siglip2_vision_model",
            "patch_size": 16,
            "num_patches": 256,
            "vision_use_head": False,
        },
    }


def onevision(text: Decoder, vocabulary: int, tied: bool) -> Configuration:
    """A LLaVA-OneVision."""
    return {
        "model_type": "llava_onevision",
        "image_token_index": 151646,
        "video_token_index": 151647,
        "tie_word_embeddings": tied,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": "anyres_max_9",
        "text_config": text.keys
        | {"model_type": "qwen2", "vocab_size": vocabulary, "tie_word_embeddings": tied},
        "vision_config": encoder(1152, 4304, 26, 16)
        | {
            "model_type": "siglip_vision_model",
            "image_size": 384,
            "patch_size": 14,
            "vision_use_head": False,
        },
    }
