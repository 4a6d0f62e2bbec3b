"""Generation that prefills each distinct prompt once, images included, and copies its KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rftkit.patches.transformers import prefilled_by
from rftkit.shared_prefix.feature_cache import FeatureCache
from rftkit.shared_prefix.groups import PromptKey, find_groups, images_of_rows
from rftkit.shared_prefix.kv_cache import grow_in_blocks
from rftkit.shared_prefix.supported import bare

BY_ROW = ("attention_mask", "mm_token_type_ids")  # (B, T)
IMAGES = ("pixel_values", "image_grid_thw", "pixel_attention_mask", "image_sizes")
FOR_ALL = ("use_cache", "logits_to_keep", "past_key_values", "position_ids")


def shared_prefill(
    model: Any, prompts_B: Sequence[PromptKey], features: FeatureCache | None = None
) -> AbstractContextManager[None]:
    """Within it `model.generate` prefills rows of equal prompts once; the rest of it is unchanged.

    Sampling, stopping and the random numbers drawn are generate's own, one row per completion.
    prompts_B: the key of each row that generate is given. features: of the images, where the vision
    encoder is frozen.
    """
    return prefilled_by(bare(model), _Prefill(prompts_B, features))


# Four rows, of which 0, 1 and 3 have the prompt x and row 2 has y:
#
#   groups      [[0, 1, 3], [2]]     first rows: 0 and 2
#   prefilled   x, y                 logits (2, 1, vocabulary), a KV cache of 2 rows
#   source_B    [0, 0, 1, 0]         the prefilled row that each of the four is a copy of
#   returned    x, x, y, x           logits and KV cache of 4 rows; generate samples from these


@dataclass(frozen=True)
class _Prefill:
    """Stands in for generate's own prefill, and returns what that returns for all rows."""

    prompts_B: Sequence[PromptKey]
    features: FeatureCache | None

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        generation_config: Any,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> Any:
        own = partial(type(model)._prefill, model)
        if not self._is_plain(len(input_ids), generation_config, model_kwargs):
            return own(input_ids, generation_config, model_kwargs, is_first_iteration)
        grow_in_blocks(model_kwargs["past_key_values"])
        groups = find_groups(self.prompts_B)
        firsts = [group[0] for group in groups]
        shared = model_kwargs
        if len(groups) < len(input_ids):
            shared = self._of_rows(model, firsts, model_kwargs)
        prompts = [self.prompts_B[row] for row in firsts]
        features = self.features
        with features.used_by(model, prompts) if features else nullcontext():
            outputs = own(input_ids[firsts], generation_config, shared, is_first_iteration)
        if shared is not model_kwargs:
            source_B = torch.empty(len(input_ids), dtype=torch.long)
            for number, group in enumerate(groups):
                source_B[group] = number
            source_B = source_B.to(input_ids.device)
            outputs.logits = outputs.logits[source_B]
            outputs.past_key_values.batch_select_indices(source_B)
        return outputs

    def _of_rows(self, model: Any, rows: list[int], model_kwargs: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of these rows alone."""
        chosen = {name: model_kwargs[name] for name in FOR_ALL if name in model_kwargs}
        chosen |= {name: model_kwargs[name][rows] for name in BY_ROW if name in model_kwargs}
        if "position_ids" in chosen:  # (B, T) or (A, B, T)
            chosen["position_ids"] = chosen["position_ids"][..., rows, :]
        images = {name: model_kwargs[name] for name in IMAGES if name in model_kwargs}
        return chosen | images_of_rows(model, images, self.prompts_B, rows)

    def _is_plain(self, rows: int, generation_config: Any, model_kwargs: dict[str, Any]) -> bool:
        """True if generate has these prompts, and nothing but them, to prefill in one go."""
        cache = model_kwargs.get("past_key_values")
        unknown = model_kwargs.keys() - {*BY_ROW, *IMAGES, *FOR_ALL}
        return (
            len(self.prompts_B) == rows
            and generation_config.prefill_chunk_size is None
            and cache is not None
            and cache.get_seq_length() == 0
            and all(model_kwargs[name] is None for name in unknown)
        )
