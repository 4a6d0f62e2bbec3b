"""Which models can share prefixes, and the parts of them that this package has to know."""

from __future__ import annotations

from typing import Any

from peft import PeftModel

from rftkit.model_info.families import SHARED
from rftkit.patches.transformers import changed

# modules between pixels and the text model
ENCODER = ("visual", "vision_model", "connector", "vision_tower", "multi_modal_projector")


def unsupported(model: Any) -> str | None:
    """Why this model cannot share prefixes, in a few words; None if it can."""
    config = bare(model).config
    if config.model_type not in SHARED:
        return f"architecture '{config.model_type}' is not among those it is tested with"
    text = config.get_text_config()
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"attention '{text._attn_implementation}' does not accept a custom attention mask"
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        return "some layers attend to a sliding window only"
    if name := changed(bare(model)):
        return f"transformers has changed {name}"
    return None


def bare(model: Any) -> Any:
    """The transformers model within an adapter's wrapper, its LoRA layers in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def encoder_is_frozen(model: Any) -> bool:
    """True if training does not change the vision encoder. Ask while the adapter is on."""
    parts = [part for name, part in bare(model).base_model.named_children() if name in ENCODER]
    return not any(weight.requires_grad for part in parts for weight in part.parameters())
