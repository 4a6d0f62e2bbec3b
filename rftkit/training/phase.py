"""The parts of a run that have a trainer each. Most runs have one; a warm-up makes it two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import set_seed

from rftkit.recipe.sections import Method


@dataclass(frozen=True)
class Phase:
    """Which part of a run a trainer computes.

    name: "" where the run has one part only. before, after: steps of the parts before and after
    this one. start: the checkpoint whose adapter the part begins with; None for a new adapter, or
    a resumed part.
    """

    name: Literal["", "warmup", "reinforcement"] = ""
    before: int = 0
    after: int = 0
    start: Path | None = None

    def steps(self, method: Method) -> int:
        """Steps of this part alone."""
        return method.warmup.steps if self.name == "warmup" else method.steps - self.before

    def learning_rate(self, method: Method) -> float:
        """The peak, from which the rate falls linearly to 0 at the last step of this part."""
        own = method.warmup.learning_rate if self.name == "warmup" else None
        return method.learning_rate if own is None else own


WHOLE = Phase()  # of a run that has one part


def begin_from(model: Any, checkpoint: Path, seed: int) -> None:
    """Put the adapter of a checkpoint into a model, and begin to draw at random anew.

    A part begins so whether its run was stopped before it or not: both give the same weights.
    """
    from peft import load_peft_weights, set_peft_model_state_dict

    set_peft_model_state_dict(model, load_peft_weights(str(checkpoint), device="cpu"))
    set_seed(seed)
