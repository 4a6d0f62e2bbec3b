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
    hidden_UD = outputs.last_hidden_state[packed.group_U, packed.place_U]
    logps_E, entropies_U = _from_hidden(model, hidden_UD, packed, options)
    return logps_E[packed.edge_N], entropies_U[packed.read_E][packed.edge_N]


def _mask(model: Any, packed: Packed) -> Tensor:
    """For sdpa the ends, (P, 1, 1, L); for eager attention what is added, (P, 1, L, L)."""
    if model.config.get_text_config()._attn_implementation == "sdpa":
        attend_in_two_calls(attend)
        ends = packed.ends_PL[:, None, None].int()
        announce(ends, again=not model.is_gradient_checkpointing)
        return ends
    allowed = attention_mask(packed.ends_PL)
    least = torch.finfo(model.dtype).min
    return torch.zeros_like(allowed, dtype=model.dtype).masked_fill(~allowed, least)


def _from_hidden(
    model: Any, hidden_UD: Tensor, packed: Packed, options: LogpOptions
) -> tuple[Tensor, Tensor]:
    """(E,) log-probabilities and (U,) entropies, a few positions at a time: all logits do not fit.

    While gradients are wanted the logits are computed again in the backward pass.
    """
    head = model.get_output_embeddings()

    def scored(hidden_UD: Tensor, read_E: Tensor, token_E: Tensor) -> tuple[Tensor, Tensor]:
        logps_UV = (head(hidden_UD).float() / options.temperature).log_softmax(-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and options.entropy_gradient):
            zeros = logps_UV.new_zeros(len(logps_UV))
            entropy = -(logps_UV.exp() * logps_UV).sum(-1) if options.entropy else zeros
        return logps_UV[read_E, token_E], entropy

    at_once = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    if len(hidden_UD) <= at_once:
        return scored(hidden_UD, packed.read_E, packed.token_E)
    firsts = torch.arange(0, len(hidden_UD), at_once, device=packed.read_E.device)
    # read_E never falls: the tokens that are read from a chunk stand together
    cuts = torch.searchsorted(packed.read_E, firsts[1:]).tolist()
    chunks = [
        checkpoint(scored, hidden, read_E - first, token_E, use_reentrant=False)
        for first, hidden, read_E, token_E in zip(
            range(0, len(hidden_UD), at_once),
            torch.split(hidden_UD, at_once),
            torch.tensor_split(packed.read_E, cuts),
            torch.tensor_split(packed.token_E, cuts),
            strict=True,
        )
    ]
    logps, entropies = zip(*chunks, strict=True)
    return torch.cat(logps), torch.cat(entropies)
