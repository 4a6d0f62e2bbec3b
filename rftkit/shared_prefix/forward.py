"""Packed prompt groups through a model: position ids, and log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rftkit.model_info.families import M_ROPE
from rftkit.model_info.limits import LOGITS_AT_ONCE
from rftkit.patches.transformers import attend_in_two_calls
from rftkit.shared_prefix.attention import announce, attend
from rftkit.shared_prefix.feature_cache import FeatureCache
from rftkit.shared_prefix.groups import PromptKey
from rftkit.shared_prefix.packing import Packed, attention_mask


@dataclass(frozen=True)
class LogpOptions:
    """How log-probabilities are computed.

    entropy: whether the entropy is wanted too; entropy_gradient: whether it has a gradient.
    rows_at_once: completions in one forward, all if None. features: of the images, where the
    vision encoder is frozen.
    """

    temperature: float = 1.0
    entropy: bool = False
    entropy_gradient: bool = False
    rows_at_once: int | None = None
    features: FeatureCache | None = None


@dataclass(frozen=True)
class Prompts:
    """The prompts of one forward, padded on the left.

    keys_P: of the prompts. images: their image inputs, by the model's names, one prompt after
    another.
    """

    input_ids_PT: Tensor
    mask_PT: Tensor
    keys_P: Sequence[PromptKey]
    images: dict[str, Tensor]


def position_ids_of(model: Any, prompts: Prompts) -> list[Tensor]:
    """The position ids of each prompt, (A, T) without padding. model: bare."""
    input_ids_PT, mask_PT = prompts.input_ids_PT, prompts.mask_PT
    axes = 3 if model.config.model_type in M_ROPE else 1
    if axes == 1 or not prompts.images:
        lengths = mask_PT.sum(1).tolist()
        return [torch.arange(n, device=input_ids_PT.device).expand(axes, -1) for n in lengths]
    position_ids_APT, _ = model.base_model.get_rope_index(
        input_ids_PT,
        (input_ids_PT == model.config.image_token_id).int(),
        image_grid_thw=prompts.images["image_grid_thw"],
        attention_mask=mask_PT,
    )
    return [position_ids_APT[:, row, kept] for row, kept in enumerate(mask_PT.bool())]


def token_logps(
    model: Any, packed: Packed, prompts: Prompts, options: LogpOptions
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of every completion token of `packed`, in nats: (N,) float32.

    model: bare. packed: the groups of these prompts, on the model's device; the image inputs are
    moved there. The entropy is 0 unless it is asked for.
    """
    images = {name: values.to(model.device) for name, values in prompts.images.items()}
    axes_APL, features = packed.position_ids_APL, options.features
    with features.used_by(model, prompts.keys_P) if features else nullcontext():
        outputs = model.base_model(
            input_ids=packed.input_ids_PL,
            attention_mask=_mask(model, packed),
            position_ids=axes_APL if len(axes_APL) > 1 else axes_APL[0],
            use_cache=False,
            **images,
        )
    hidden_ND = outputs.last_hidden_state[packed.group_N, packed.read_from_N]
    return _from_hidden(model, hidden_ND, packed.token_ids_N, options)


def _mask(model: Any, packed: Packed) -> Tensor:
    """For sdpa the segment ids, (P, 1, 1, L); for eager attention what is added, (P, 1, L, L)."""
    if model.config.get_text_config()._attn_implementation == "sdpa":
        attend_in_two_calls(attend)
        segments = packed.segment_ids_PL[:, None, None].int()
        announce(segments, again=not model.is_gradient_checkpointing)
        return segments
    allowed = attention_mask(packed.segment_ids_PL)
    least = torch.finfo(model.dtype).min
    return torch.zeros_like(allowed, dtype=model.dtype).masked_fill(~allowed, least)


def _from_hidden(
    model: Any, hidden_ND: Tensor, token_ids_N: Tensor, options: LogpOptions
) -> tuple[Tensor, Tensor]:
    """(N,) log-probabilities and entropies, a few tokens at a time: all logits would not fit.

    While gradients are wanted the logits are computed again in the backward pass.
    """
    head = model.get_output_embeddings()

    def scored(hidden: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        logps = (head(hidden).float() / options.temperature).log_softmax(-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and options.entropy_gradient):
            zeros = logps.new_zeros(len(logps))
            entropy = -(logps.exp() * logps).sum(-1) if options.entropy else zeros
        return logps.gather(-1, token_ids[:, None])[:, 0], entropy

    at_once = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    if len(token_ids_N) <= at_once:
        return scored(hidden_ND, token_ids_N)
    chunks = [
        checkpoint(scored, hidden, token_ids, use_reentrant=False)
        for hidden, token_ids in zip(
            torch.split(hidden_ND, at_once), torch.split(token_ids_N, at_once), strict=True
        )
    ]
    logps, entropies = zip(*chunks, strict=True)
    return torch.cat(logps), torch.cat(entropies)
