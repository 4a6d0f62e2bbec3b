"""Packed groups through a model: which models can, positions of a prompt, scores of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rftkit.shared_prefix.packing import Packed, attention

M_ROPE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
TEXT_ROPE = ("idefics3", "smolvlm")
LOGITS_AT_ONCE = 2**24  # values; 64 MiB in fp32


@dataclass(frozen=True)
class Scoring:
    """How tokens are scored. most_rows: completions in one forward, all if None."""

    temperature: float = 1.0
    entropy: bool = False
    entropy_gradient: bool = False
    most_rows: int | None = None


def unsupported(model: Any) -> str | None:
    """Why this model cannot share prefixes, in a few words; None if it can."""
    config = bare(model).config
    if config.model_type not in (*M_ROPE, *TEXT_ROPE):
        return f"architecture '{config.model_type}' is not among those it is tested with"
    text = config.get_text_config()
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"attention '{text._attn_implementation}' takes no mask of one's own"
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        return "some layers see a sliding window only"
    return None


def bare(model: Any) -> Any:
    """The transformers model within an adapter's wrapper, its LoRA layers in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def prompt_places(
    model: Any, ids: Tensor, mask: Tensor, pictures: dict[str, Tensor]
) -> list[Tensor]:
    """Positions of each prompt's tokens, without padding: (axes, tokens); three axes for M-RoPE.

    ids, mask: (prompts, tokens), padded on the left. pictures: those of all prompts.
    """
    axes = 3 if model.config.model_type in M_ROPE else 1
    if axes == 1 or not pictures:
        count = [int(total) for total in mask.sum(1)]
        return [torch.arange(n, device=ids.device).expand(axes, -1) for n in count]
    places, _ = model.base_model.get_rope_index(
        ids,
        (ids == model.config.image_token_id).int(),
        image_grid_thw=pictures["image_grid_thw"],
        attention_mask=mask,
    )
    return [places[:, i, kept] for i, kept in enumerate(mask.bool())]


def score(
    model: Any, packed: Packed, pictures: dict[str, Tensor], scoring: Scoring
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of every token in `packed.read`, in nats: (tokens,) float32.

    model: bare. pictures: the model's inputs by name, one prompt after another. The entropy is 0
    unless it is asked for.
    """
    outputs = model.base_model(
        input_ids=packed.ids,
        attention_mask=_mask(model, packed),
        position_ids=packed.places if len(packed.places) > 1 else packed.places[0],
        use_cache=False,
        **pictures,
    )
    group, place, tokens = packed.read
    return _token_scores(model, outputs.last_hidden_state[group, place], tokens, scoring)


def _mask(model: Any, packed: Packed) -> Tensor:
    """As the attention wants it: bool for sdpa, to be added for eager."""
    allowed = attention(packed.segments)
    if model.config.get_text_config()._attn_implementation == "sdpa":
        return allowed
    least = torch.finfo(model.dtype).min
    return torch.zeros_like(allowed, dtype=model.dtype).masked_fill(~allowed, least)


def _token_scores(
    model: Any, hidden: Tensor, tokens: Tensor, scoring: Scoring
) -> tuple[Tensor, Tensor]:
    """hidden: (tokens, width). A few tokens at a time: all their logits would fill the memory.

    While gradients are wanted the logits are computed again in the backward pass.
    """
    head = model.get_output_embeddings()

    def scores(part: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        logs = (head(part).float() / scoring.temperature).log_softmax(-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and scoring.entropy_gradient):
            entropy = -(logs.exp() * logs).sum(-1) if scoring.entropy else logs.new_zeros(len(logs))
        return logs.gather(-1, chosen[:, None])[:, 0], entropy

    at_once = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    if len(tokens) <= at_once:
        return scores(hidden, tokens)
    found = [
        checkpoint(scores, part, chosen, use_reentrant=False)
        for part, chosen in zip(
            torch.split(hidden, at_once), torch.split(tokens, at_once), strict=True
        )
    ]
    logps, entropies = zip(*found, strict=True)
    return torch.cat(logps), torch.cat(entropies)
