"""A policy whose model Unsloth has loaded: 4-bit on one CUDA GPU. The only file that imports it.

Import this before TRL: Unsloth patches TRL's trainers as it loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsloth import FastVisionModel

from rftkit.models import loading
from rftkit.models.transformers import TransformersPolicy
from rftkit.recipe import Model


def open_unsloth(settings: Model, adapter: Path | None = None) -> TransformersPolicy:
    """The recipe's model through Unsloth, with a trained adapter or a new one on it."""
    if adapter:
        loading.check_adapter(adapter)
    source = loading.resolve(settings.name)
    model, _ = FastVisionModel.from_pretrained(
        source.name,
        revision=source.revision,
        load_in_4bit=settings.load_in_4bit,
        use_exact_model_name=True,  # no silent swap for another repository's weights
        use_gradient_checkpointing="unsloth",
    )
    model = loading.put_adapter(model, adapter) if adapter else _with_new_adapter(model, settings)
    # Unsloth's own processor may be patched: ours is the one that every backend shares
    processor = loading.load_processor_of(source, settings)
    return TransformersPolicy(settings, source, model, processor, "unsloth")


def _with_new_adapter(model: Any, settings: Model) -> Any:
    return FastVisionModel.get_peft_model(
        model,
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        lora_dropout=0.0,
        bias="none",
        finetune_vision_layers=settings.lora_vision,
        finetune_language_layers=True,
        finetune_attention_modules=True,
        finetune_mlp_modules=True,
    )
