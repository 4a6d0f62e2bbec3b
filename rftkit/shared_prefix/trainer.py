"""TRL's GRPOTrainer with each prompt computed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from torch import Tensor

from rftkit.shared_prefix.decoding import shared_prefill
from rftkit.shared_prefix.features import FeatureMemory, is_frozen
from rftkit.shared_prefix.forward import Scoring, unsupported
from rftkit.shared_prefix.groups import find_groups, tokens_of
from rftkit.shared_prefix.logps import Rows, shared_logps
from rftkit.shared_prefix.pictures import PictureMemory


def trainer_class(model: Any, say: Callable[[str], None], wanted: bool = True) -> Any:
    """The class that trains this model: ours, or TRL's own, having said why.

    Open the backend before: Unsloth patches TRL as it is imported.
    """
    from trl import GRPOTrainer

    why = _obstacle(model, GRPOTrainer) if wanted else "not wanted"
    if why is None:
        return _shared_prefix_trainer()
    say(f"each prompt is computed once per completion, as TRL does: {why}")
    return GRPOTrainer


def _obstacle(model: Any, trls: Any) -> str | None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return "several processes share the work"
    if not trls.__module__.startswith("trl."):
        return "the backend brings a loss of its own"
    return unsupported(model)


@cache
def _shared_prefix_trainer() -> Any:
    from trl import GRPOTrainer

    class SharedPrefixTrainer(GRPOTrainer):  # type: ignore[misc, unused-ignore]
        """Overrides how tokens are scored, how prompts are prefilled and how pictures are prepared.

        Rewards, advantages, loss and logging are TRL's.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pictures = PictureMemory()
            self._features = FeatureMemory() if is_frozen(self.model) else None

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
            rows = Rows(input_ids, attention_mask, logits_to_keep, inputs)
            scoring = Scoring(
                self.temperature, compute_entropy, self._entropy_bonus_enabled, batch_size
            )
            model = self.accelerator.unwrap_model(model)
            with self.accelerator.autocast(), self._remembering(model):
                return *shared_logps(model, rows, scoring), None

        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            model = self.accelerator.unwrap_model(self.model_wrapped)
            with shared_prefill(model), self._remembering(model):
                return super()._generate_single_turn(*args, **kwargs)

        def _remembering(self, model: Any) -> AbstractContextManager[None]:
            return self._features.used_by(model) if self._features else nullcontext()

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            with self._pictures.used_by(self.processing_class.image_processor):
                return super()._generate_and_score_completions(inputs)

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            with _groups_kept_together():
                return super()._prepare_inputs(generation_batch)

    return SharedPrefixTrainer


@contextmanager
def _groups_kept_together() -> Iterator[None]:
    """Within it TRL's shuffle moves whole groups, so that a micro-batch holds few prompts.

    TRL looks the function up in its module, and nothing of the trainer stands between the shuffle
    and the split that follows it.
    """
    from trl.trainer import grpo_trainer

    own = grpo_trainer.shuffle_sequence_dict
    grpo_trainer.shuffle_sequence_dict = lambda rows: together(own(rows))
    try:
        yield
    finally:
        grpo_trainer.shuffle_sequence_dict = own


def together(batch: dict[str, Any]) -> dict[str, Any]:
    """The rows with each group's next to each other, groups in order of first appearance.

    batch: one entry a row under every name, `pixel_values` too; numbers are passed through.
    """
    prompts = tokens_of(batch["prompt_ids"], batch["prompt_mask"])
    pictures, grids = batch.get("pixel_values", ()), batch.get("image_grid_thw", ())
    groups = find_groups(prompts, list(pictures), list(grids))
    order = [row for group in groups for row in group]
    return {name: _reordered(values, order) for name, values in batch.items()}


def _reordered(values: Any, order: Sequence[int]) -> Any:
    if values is None or (isinstance(values, Tensor) and values.ndim == 0):
        return values
    return values[order] if isinstance(values, Tensor) else [values[row] for row in order]
