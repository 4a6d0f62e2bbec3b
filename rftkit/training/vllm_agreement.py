"""Whether vLLM and the trainer give tokens the same probabilities, seen at every rollout.

An adapter that does not reach the engine, weights that it repacked as it loaded, or a tower at
another resolution all show as a difference. Small ones are rounding, and are corrected for.
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
    """A line where engine and trainer differ by more than rounding; None where they agree.

    mean, largest: |log-probability of the engine - that of the trainer| of the tokens sampled.
    Raises TrainingError where they do not describe the same model, or are no numbers.
    """
    said = f"log-probabilities of vLLM and the trainer differ by {mean:.3f} a token on average"
    if not mean <= REFUSED:  # not a number is refused too
        raise TrainingError(
            f"{said}, {largest:.3f} at most: not the same model; set model.generation = "
            '"transformers", and report the versions that `rftkit doctor` shows'
        )
    return f"{said}, {largest:.3f} at most; they are weighted for it" if mean > NOTED else None


class Agreement(TrainerCallback):
    """Holds what TRL measures at every rollout against `judge`; says a difference once."""

    def __init__(self, console: Console) -> None:
        self.console, self.said = console, False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Raises TrainingError as `judge` does."""
        if not logs or MEAN not in logs:
            return
        line = judge(float(logs[MEAN]), float(logs.get(LARGEST, logs[MEAN])))
        if line and not self.said:
            self.console.print(f"note: {line}", highlight=False, markup=False)
            self.said = True
