"""A batch by the slow path, and fast paths beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from rftkit.patches.trl import own
from rftkit.shared_prefix.difference import (
    Computed,
    Difference,
    allowed,
    apart,
    between,
    computed,
)
from rftkit.shared_prefix.trainer import KEYS
from rftkit.training.paths.batch_rows import rows_of
from rftkit.training.paths.reference import unlearnt

FastPath = Literal["shared prefixes", "vLLM", "merged copy", "adapter off"]
ENGINE = 0.1  # nats a token, on average, of what writes: bf16 differs by some thousandths
ANSWERS = 3  # of each, where they are summed


class PathRefused(Exception):  # noqa: N818  nothing is wrong with the run
    """A fast path that does not give what its slow twin gives. why: in a few words."""

    def __init__(self, path: FastPath, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


@dataclass(frozen=True)
class Twin:
    """A batch of a few completions by the slow path, and how much a fast one may differ from it."""

    trainer: Any
    model: Any
    batch: Mapping[str, Any]
    plain: Computed
    most: Difference

    @classmethod
    def of(cls, trainer: Any, model: Any, batch: Mapping[str, Any]) -> Twin:
        """Computed together and one by one, which differ by rounding alone."""
        plain = _computed(trainer, model, [batch], plainly)
        alone = [rows_of(batch, [row]) for row in range(len(batch["prompt_ids"]))]
        rounding = between(_computed(trainer, model, alone, plainly), plain)
        half = trainer.args.bf16 or trainer.args.fp16
        return cls(trainer, model, batch, plain, allowed(rounding, half=half))

    def shared_prefixes(self) -> str:
        """What was measured. Raises PathRefused where they differ."""
        packed = _computed(self.trainer, self.model, [self.batch], _as_it_trains)
        words = self._judged("shared prefixes", between(packed, self.plain), self.most)
        return f"{words}; {answers}" if (answers := self.summed_answers()) else words

    def summed_answers(self) -> str:
        """The same of the answers after each thought; "" where they are not summed."""
        few = [one and replace(one, answers=one.answers[:ANSWERS])
               for one in self.batch.get("thoughts", ())]  # fmt: skip
        thoughts = {row: one for row, one in enumerate(few) if one}
        if not thoughts:
            return ""
        tokens = sum(len(ids) for one in thoughts.values() for ids in one.answers)
        plain = computed(self.model, [partial(_plain_answers, self.trainer, thoughts)], tokens)
        batch = {**self.batch, "thoughts": few}
        tree = partial(_answers_as_it_trains, self.trainer, self.model, batch)
        difference = between(computed(self.model, [tree], tokens), plain)
        return f"of answers {self._judged('shared prefixes', difference, self.most)}"

    def merged_copy(self) -> str:
        """What was measured. Raises PathRefused where they differ by more than a merge rounds."""
        with torch.no_grad(), self.trainer.merged.in_place():
            merged = _logps(self.trainer, self.model, self.batch, plainly)
        difference = Difference(apart(merged, self.plain.logps))
        return self._judged("merged copy", difference, Difference(ENGINE))

    def adapter_off(self) -> str:
        """What was measured, beside an adapter that changes nothing. Raises PathRefused."""
        peft = self.trainer.accelerator.unwrap_model(self.model)
        with torch.no_grad(), unlearnt(peft):
            new = _logps(self.trainer, self.model, self.batch, plainly)
        with torch.no_grad(), peft.disable_adapter():
            off = _logps(self.trainer, self.model, self.batch, plainly)
        difference = Difference(apart(off, new))
        return self._judged("adapter off", difference, self.most)

    def _judged(self, path: FastPath, difference: Difference, most: Difference) -> str:
        if not difference.within(most):
            raise PathRefused(path, difference.words)
        return difference.words


def _computed(
    trainer: Any, model: Any, batches: Sequence[Any], how: Callable[..., Any]
) -> Computed:
    """Log-probabilities of all batches, and the gradient of their mean."""
    tokens = sum(int(batch["completion_mask"].sum()) for batch in batches)
    parts = [partial(_logps, trainer, model, batch, how) for batch in batches]
    return computed(model, parts, tokens)


def _logps(trainer: Any, model: Any, batch: Mapping[str, Any], how: Callable[..., Any]) -> Tensor:
    """Of the completion tokens of a batch, row after row, (N,)."""
    mask = batch["completion_mask"].bool()
    inputs = {name: batch.get(name) for name in INPUTS}
    logps, *_ = how(
        trainer,
        model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
        mask.shape[1],
        keys=batch.get(KEYS),
        **{name: value for name, value in inputs.items() if value is not None},
    )
    found: Tensor = logps[mask]
    return found


# what TRL hands to the model beside token ids
INPUTS = (
    "pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes",
    "num_tiles", "image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids",
)  # fmt: skip


def _plain_answers(trainer: Any, thoughts: Mapping[int, Any]) -> Tensor:
    """Of each answer, a row with its prompt and its thought."""
    return torch.cat([*trainer.given(thoughts, shared=False).values()])


def _answers_as_it_trains(trainer: Any, model: Any, batch: Mapping[str, Any]) -> Tensor:
    with trainer.following(batch["thoughts"]):
        _logps(trainer, model, batch, _as_it_trains)
    return torch.cat([trainer.followed[row] for row in sorted(trainer.followed)])


def plainly(trainer: Any, *given: Any, keys: Any = None, **more: Any) -> Any:
    """By TRL's own method, every row by itself."""
    return own("GRPOTrainer")._get_per_token_logps_and_entropies(trainer, *given, **more)


def _as_it_trains(trainer: Any, *given: Any, keys: Any, **more: Any) -> Any:
    trainer._prompts_B = keys
    return trainer._get_per_token_logps_and_entropies(*given, **more)
