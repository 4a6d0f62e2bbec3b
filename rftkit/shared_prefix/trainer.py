"""TRL's GRPOTrainer, with each prompt and its image encoded once per group."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rftkit.patches.trl import changed, own, reordered_after_shuffle
from rftkit.shared_prefix.decoding import shared_prefill
from rftkit.shared_prefix.feature_cache import FeatureCache
from rftkit.shared_prefix.forward import LogpOptions
from rftkit.shared_prefix.groups import PromptKey, find_groups, prompt_keys
from rftkit.shared_prefix.image_cache import ImageCache
from rftkit.shared_prefix.logps import Batch, shared_logps
from rftkit.shared_prefix.supported import encoder_is_frozen, unsupported

KEYS = "prompt_keys"  # their name in the batches that TRL shuffles and splits


def obstacle(model: Any) -> str | None:
    """Why prefixes cannot be shared in this run, in a few words; None if they can.

    Open the backend before: Unsloth patches TRL as it is imported.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return "several processes share the work"
    if name := changed():
        return f"TRL has changed {name}"
    return unsupported(model)


@cache
def shared_prefix_trainer() -> Any:
    """The class of trainers, for models without an `obstacle`."""

    class SharedPrefixTrainer(own("GRPOTrainer")):  # type: ignore[misc]
        """Overrides how log-probabilities are computed, prompts prefilled and images processed.

        Rewards, advantages, loss and logging are TRL's. features: the cache of image features,
        None if the vision encoder is trained; another one may be put in its place before training.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.images = ImageCache()
            self.features = FeatureCache() if encoder_is_frozen(self.model) else None
            self._prompts_B: Sequence[PromptKey] = ()  # of the batch that is computed with now
            # what may follow each row's completion, and row -> its log-probabilities
            self.follow_B: Sequence[Sequence[Tensor]] = ()
            self.followed: Mapping[int, Tensor] = {}

        def _tokenize_prompts(self, prompts: list[Any]) -> Any:
            ids, images, fields = super()._tokenize_prompts(prompts)
            self._prompts_B = prompt_keys(ids, images)
            return ids, images, fields

        def _generate_single_turn(
            self, prompt_ids: list[Any], images: Any, *args: Any, **kwargs: Any
        ) -> Any:
            model, keys = self.accelerator.unwrap_model(self.model_wrapped), self._prompts_B
            if len(keys) != len(prompt_ids):  # some rows of a batch alone
                keys = prompt_keys(prompt_ids, images)
            with shared_prefill(model, keys, self.features):
                return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            with self.images.used_by(self.processing_class.image_processor):
                batch = super()._generate_and_score_completions(inputs)
            return {**batch, KEYS: list(self._prompts_B)}

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            with reordered_after_shuffle(groups_together):
                return super()._prepare_inputs(generation_batch)

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            self._prompts_B = inputs[KEYS]
            return super()._compute_loss(model, inputs)

        def _get_per_token_logps_and_entropies(
            self,
            model: Any,
            input_ids: Tensor,
            attention_mask: Tensor,
            logits_to_keep: int,
            batch_size: int | None = None,
            compute_entropy: bool = False,
            compute_aux_loss: bool = False,
            **inputs: Any,
        ) -> tuple[Tensor, Tensor | None, Tensor | None]:
            assert not compute_aux_loss, "none of the architectures has experts"
            follow_B = self.follow_B if torch.is_grad_enabled() else ()
            batch = Batch(
                input_ids, attention_mask, logits_to_keep, self._prompts_B, inputs, follow_B
            )
            options = LogpOptions(
                temperature=self.temperature,
                entropy=compute_entropy,
                entropy_gradient=self._entropy_bonus_enabled,
                rows_at_once=batch_size,
                features=self.features,
            )
            with self.accelerator.autocast():
                found = shared_logps(self.accelerator.unwrap_model(model), batch, options)
            self.followed = found.follow
            return found.logps, found.entropies, None

    return SharedPrefixTrainer


def groups_together(batch: dict[str, Any]) -> dict[str, Any]:
    """The rows of each group next to each other, groups in order of first appearance.

    So a micro-batch holds few prompts. batch: one entry a row under every name, prompt keys among
    them; numbers are passed through.
    """
    order = [row for group in find_groups(batch[KEYS]) for row in group]
    return {name: reordered(values, order) for name, values in batch.items()}


def reordered(values: Any, order: Sequence[int]) -> Any:
    """The entries of these rows, in this order: of a tensor or a list; numbers as they are."""
    if values is None or (isinstance(values, Tensor) and values.ndim == 0):
        return values
    return values[order] if isinstance(values, Tensor) else [values[row] for row in order]
