"""How long a generation took, and where somebody asks it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria


class Clock(StoppingCriteria):
    """Notes when the first token was there; stops a generation only where it is told to.

    ends: sees all ids so far, (batch, tokens), after every token.
    """

    def __init__(self, ends: Callable[[torch.Tensor], bool] | None = None) -> None:
        self.start = time.perf_counter()
        self.first = 0.0
        self.ends = ends

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """(batch,) Whether each row ends here."""
        self.first = self.first or self.seconds()
        over = self.ends is not None and self.ends(input_ids)
        return torch.full((len(input_ids),), over, dtype=torch.bool, device=input_ids.device)

    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self.start
