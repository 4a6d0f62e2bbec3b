"""The sizes that the plan counts with are those of transformers' own models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, Idefics3Config

from rftkit.bench.random_weights import TEXTS, config_of
from rftkit.model_info.sizes import KNOWN, Shape
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


@pytest.mark.parametrize("shape", KNOWN, ids=lambda shape: shape.name)
def test_a_model_of_these_sizes_has_so_many_parameters(shape: Shape) -> None:
    if shape.kind == "idefics3":
        config = idefics3(shape)
    else:
        config = config_of(shape, train_tokenizer(TEXTS, 400))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.size
