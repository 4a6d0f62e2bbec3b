"""The sizes that the plan counts with are those of transformers' own models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, Idefics3Config

from rftkit.bench.random_weights import TEXTS, config_of
from rftkit.model_info.configurations import CONFIGURATIONS
from rftkit.model_info.count import count
from rftkit.model_info.counted import COUNTED
from rftkit.model_info.shapes import Shape
from rftkit.model_info.sizes import KNOWN
from rftkit.models.tiny.tokenizer import train_tokenizer

pytestmark = pytest.mark.slow


def idefics3(shape: Shape) -> Any:
    text, encoder = shape.text, shape.vision
    return Idefics3Config(
        scale_factor=encoder.merge,
        tie_word_embeddings=text.tied,
        vision_config={
            "hidden_size": encoder.width, "intermediate_size": encoder.inner,
            "num_hidden_layers": encoder.layers, "num_attention_heads": 12 if encoder.width < 1000
            else 16, "image_size": encoder.tile, "patch_size": encoder.patch,
        },
        text_config={
            "model_type": "llama", "vocab_size": text.vocabulary, "hidden_size": text.width,
            "intermediate_size": text.inner, "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads, "num_key_value_heads": text.key_heads,
            "head_dim": text.head, "tie_word_embeddings": text.tied, "pad_token_id": 2,
        },
    )  # fmt: skip


# parameters that the hub counts (all tensors of the files), and how many of them transformers does
# not build: Qwen3.5's second head, which guesses tokens ahead; of Gemma 4 the keys and values of
# layers that use those of another, scalars that are no parameters, and constants of its encoder
PUBLISHED = {
    "Qwen/Qwen3.5-0.8B": (873_438_784, 20_452_864),
    "Qwen/Qwen3.5-2B": (2_274_069_824, 60_828_160),
    "Qwen/Qwen3.5-4B": (4_659_865_088, 120_599_552),
    "Qwen/Qwen3.5-9B": (9_653_104_368, 243_290_624),
    "google/gemma-3-4b-it": (4_300_079_472, 0),
    "google/gemma-3-12b-it": (12_187_325_040, 0),
    "google/gemma-3-27b-it": (27_432_406_640, 0),
    "google/gemma-4-E2B-it": (5_123_178_051, 18_880_512 + 35),
    "google/gemma-4-E4B-it": (7_996_156_490, 55_055_616 + 42),
    "google/gemma-4-12B-it": (11_959_730_224, 48),
    "google/gemma-4-26B-A4B-it": (25_805_936_206, 2_304 + 30),
    "google/gemma-4-31B-it": (31_273_088_876, 2_304 + 60),
    "OpenGVLab/InternVL3_5-1B-HF": (1_060_897_792, 0),
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": (256_484_928, 0),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": (507_482_304, 0),
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": (2_246_784_880, 0),
    "LiquidAI/LFM2-VL-450M": (450_822_656, 0),
    "LiquidAI/LFM2-VL-1.6B": (1_584_804_000, 0),
    "LiquidAI/LFM2-VL-3B": (2_998_975_216, 0),
    "LiquidAI/LFM2.5-VL-450M": (448_718_848, 0),
    "LiquidAI/LFM2.5-VL-1.6B": (1_596_625_904, 0),
}
NOT_PUBLISHED = {  # to the last parameter
    "OpenGVLab/InternVL3_5-2B-HF": 2.3e9,
    "OpenGVLab/InternVL3_5-4B-HF": 4.732e9,
    "OpenGVLab/InternVL3_5-8B-HF": 8.5e9,
    "LiquidAI/LFM2.5-VL-3B": 3.12e9,
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": 0.894e9,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": 8.03e9,
}


def test_every_counted_size_is_held_against_a_published_one() -> None:
    assert {*PUBLISHED} | {*NOT_PUBLISHED} == {*COUNTED} == {*CONFIGURATIONS}
    totals = {hub: COUNTED[hub].size + elsewhere for hub, (_, elsewhere) in PUBLISHED.items()}
    assert totals == {hub: total for hub, (total, _) in PUBLISHED.items()}
    for hub, about in NOT_PUBLISHED.items():
        assert COUNTED[hub].size == pytest.approx(about, rel=0.025)


@pytest.mark.parametrize("hub", COUNTED)
def test_a_model_of_a_public_configuration_has_the_counts_that_are_kept(hub: str) -> None:
    assert count(CONFIGURATIONS[hub]) == COUNTED[hub]


@pytest.mark.parametrize(
    "shape", [s for s in KNOWN if not s.counts], ids=lambda shape: str(shape.name)
)
def test_a_model_of_these_sizes_has_so_many_parameters(shape: Shape) -> None:
    if shape.kind == "idefics3":
        config = idefics3(shape)
    else:
        config = config_of(shape, train_tokenizer(TEXTS, 400))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.size
