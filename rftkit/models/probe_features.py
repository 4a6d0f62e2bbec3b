"""Features of prompts from a model as it is: what a probe without any training of the model sees.

Both kinds come from one forward pass over a prompt. A model that has no such thing gives a text
instead, which says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.models.policy import ProbeFeatures, Prompt
from rftkit.patches.transformers import image_features_by
from rftkit.shared_prefix.supported import bare

Inputs = Callable[[Sequence[Prompt]], Any]


class _Encoded(NamedTuple):
    """One forward. images: the projected image tokens of all prompts, (tokens, D)."""

    ids: Tensor
    images: Tensor | None
    last: Tensor | None


def probe_features(model: Any, prompts: Sequence[Prompt], inputs_of: Inputs) -> ProbeFeatures:
    """Features of each prompt. inputs_of: the model's inputs of prompts, padded on the left.

    model: in evaluation mode, bare or with an adapter.
    """
    encoded = _encode(model, inputs_of(prompts))
    if encoded.images is None:
        vision: Any = f"{type(bare(model)).__name__} has no image features of its own"
    else:
        counts = _image_tokens(model, encoded)
        if counts is None:  # which image token belongs to which prompt is not known: one by one
            each = [_encode(model, inputs_of([prompt])).images for prompt in prompts]
            parts = [images for images in each if images is not None]
        else:
            parts = [*torch.split(encoded.images, counts)]
        vision = torch.stack([part.float().mean(0) for part in parts]).cpu().numpy()
    if encoded.last is None:
        return ProbeFeatures(vision, f"{type(bare(model)).__name__} gives no hidden states")
    return ProbeFeatures(vision, encoded.last.float().cpu().numpy())


def _encode(model: Any, inputs: Any) -> _Encoded:
    """A forward through the model below its output layer; its image features are noted."""
    inner, noted = bare(model).base_model, list[Tensor]()

    def note(inner: Any, *given: Any, **more: Any) -> Any:
        made = type(inner).get_image_features(inner, *given, **more)
        features = getattr(made, "pooler_output", made)  # not every family names its features
        parts = [features] if isinstance(features, Tensor) else features
        noted.extend(part.reshape(-1, part.shape[-1]) for part in parts)
        return made

    encodes = hasattr(type(inner), "get_image_features")
    with image_features_by(bare(model), note) if encodes else nullcontext():
        states = inner(**inputs, use_cache=False).get("last_hidden_state")
    images = torch.cat(noted) if noted else None
    return _Encoded(inputs["input_ids"], images, None if states is None else states[:, -1])


def _image_tokens(model: Any, encoded: _Encoded) -> list[int] | None:
    """How many image tokens each prompt has; None if the features do not tell them apart."""
    if len(encoded.ids) == 1 and encoded.images is not None:
        return [len(encoded.images)]
    token = getattr(bare(model).config, "image_token_id", None)
    if token is None or encoded.images is None:
        return None
    counts: list[int] = (encoded.ids == token).sum(1).tolist()
    return counts if sum(counts) == len(encoded.images) and min(counts) > 0 else None
