"""How far two ways to compute the same are apart, and how far they may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

# what a path raises that cannot compute here; memory that ends is a RuntimeError too, and is not it
FAILURES = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)
ROUNDING = 4.0  # times what the slow path differs from itself, one row at a time


class Difference(NamedTuple):
    """Between two ways to compute the same.

    logps: mean of |difference| in nats a token. gradient: norm of the difference by that of the
    reference; 0 where none was computed.
    """

    logps: float
    gradient: float = 0.0

    def within(self, most: Difference) -> bool:
        """Whether both are at most as large; never where one is not a number."""
        return self.logps <= most.logps and self.gradient <= most.gradient

    @property
    def words(self) -> str:
        """For a line on the console."""
        gradient = f", gradients by {self.gradient:.0e}" if self.gradient else ""
        logps = f"{self.logps:.0e}" if self.logps else "0"
        return f"log-probabilities differ by {logps} nats a token{gradient}"


LEAST = Difference(1e-4, 1e-3)  # allowed at any rate, in 32 bit
LEAST_HALF = Difference(0.02, 0.05)  # in 16


def allowed(rounding: Difference, *, half: bool) -> Difference:
    """The most that may be rounding. rounding: what the slow path differs from itself by.

    half: whether it computes in 16 bit.
    """
    least = LEAST_HALF if half else LEAST
    return Difference(*(max(a, ROUNDING * b) for a, b in zip(least, rounding, strict=True)))


class Computed(NamedTuple):
    """logps: of the tokens of some completions, (N,). gradients: of the adapter's weights."""

    logps: Tensor
    gradients: list[Tensor]


def computed(model: Any, parts: Sequence[Callable[[], Tensor]], tokens: int) -> Computed:
    """Log-probabilities of all parts, and the gradient of their mean over tokens; on the CPU.

    What gradients there are stays as it is.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    kept = [weight.grad for weight in trained]
    for weight in trained:
        weight.grad = None
    try:
        logps = []
        for part in parts:
            found = part()
            loss: Any = found.sum() / tokens  # the size of a loss: in fp16 a sum may overflow
            loss.backward()
            logps.append(found.detach().float().cpu())
        gradients = [
            torch.zeros(weight.shape) if weight.grad is None else weight.grad.float().cpu()
            for weight in trained
        ]
        return Computed(torch.cat(logps), gradients)
    finally:
        for weight, gradient in zip(trained, kept, strict=True):
            weight.grad = gradient


def between(one: Computed, reference: Computed) -> Difference:
    """One way beside the reference."""
    pairs = zip(one.gradients, reference.gradients, strict=True)
    squares = sum(float((a - b).double().square().sum()) for a, b in pairs)
    norm = sum(float(gradient.double().square().sum()) for gradient in reference.gradients)
    return Difference(apart(one.logps, reference.logps), (squares / max(norm, 1e-30)) ** 0.5)


def apart(one: Tensor, other: Tensor) -> float:
    """The mean of |one - other|. other: on the CPU."""
    return float((one.float().cpu() - other).abs().mean())
