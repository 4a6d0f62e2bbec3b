"""Whether vLLM and the trainer give tokens the same log-probabilities, compared at every rollout.

An adapter that does not reach the engine, weights that it repacked as it loaded, or images at
another resolution all show as a difference. Small ones are rounding; TRL weights tokens for them.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from transformers import TrainerCallback

from rftkit.errors import TrainingError

MEAN = "sampling/sampling_logp_difference/mean"
LARGEST = "sampling/sampling_logp_difference/max"
NOTED, REFUSED = 0.05, 0.5  # nats a token, on average; bf16 against bf16 is some thousandths


def judge(mean: float, largest: float) -> str | None:
    """One line if engine and trainer differ by more than rounding; None if they agree.

    mean, largest: |log-probability of the engine - that of the trainer| of the tokens sampled.
    Raises TrainingError where they do not describe the same model, or are no numbers.
    """
    differ = f"log-probabilities of vLLM and the trainer differ by {mean:.3f} a token on average"
    if not mean <= REFUSED:  # not a number is refused too
        raise TrainingError(
            f"{differ}, {largest:.3f} at most: not the same model; set model.generation = "
            '"transformers", and report the versions that `rftkit doctor` shows'
        )
    return f"{differ}, {largest:.3f} at most; they are weighted for it" if mean > NOTED else None


class Agreement(TrainerCallback):
    """Judges what TRL measures at every rollout; prints the first difference."""

    def __init__(self, console: Console) -> None:
        self.console, self.printed = console, False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Raises TrainingError as `judge` does."""
        if not logs or MEAN not in logs:
            return
        line = judge(float(logs[MEAN]), float(logs.get(LARGEST, logs[MEAN])))
        if line and not self.printed:
            self.console.print(f"note: {line}", highlight=False, markup=False)
            self.printed = True
