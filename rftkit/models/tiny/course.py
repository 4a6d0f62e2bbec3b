"""What pretraining must know of what a tiny model is taught: images, a first task, lessons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

PATCH, MERGE = 14, 2  # pixels of a patch's side; patches along a side of what becomes one token
VALUES = 3 * 2 * PATCH * PATCH  # of a patch: colours, two equal frames, pixels


@dataclass(frozen=True)
class Plan:
    """How long and how hard a tiny model is trained; steps are optimizer steps."""

    drawings: int = 8000
    eye_steps: int = 200
    eye_batch: int = 96
    eye_rate: float = 2e-3
    word_steps: int = 250
    word_batch: int = 64
    word_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """One question and the reply to learn."""

    prompt: str
    reply: str


class Gallery(Protocol):
    """Drawn images, what they show, and what is asked about them."""

    def __len__(self) -> int:
        """How many there are."""

    def patches(self, chosen: Tensor) -> Tensor:
        """The `pixel_values` of these images: (images x patches, VALUES) float32."""

    def head(self, model: Any, tokenizer: Any) -> nn.Module:
        """A new layer on top of the model's eyes, for their first task."""

    def eye_loss(self, head: nn.Module, seen: Tensor, chosen: Tensor) -> Tensor:
        """The loss of that task. seen: (images, tokens, width) of the chosen images."""

    def choose(self, count: int, rng: np.random.Generator, progress: float) -> Tensor:
        """The images of one step's lessons, at that share of the steps, in [0, 1)."""

    def lessons(self, chosen: Tensor, rng: np.random.Generator, progress: float) -> list[Lesson]:
        """A lesson about each of these images."""


@dataclass(frozen=True)
class Course:
    """What one tiny model is taught. side: of its square images, in pixels.

    gallery(processor, plan): draws the images. corpus: texts for the tokenizer, of at most
    `vocabulary` tokens, beside `phrases`, which are one token each. eyes_rest: share of the lessons
    during which the eyes learn no more, which makes a step several times faster. spread: the
    standard deviation of fresh weights. reading: draws a lesson without an image; the first
    `reading_steps` steps of words are such. seconds: what building takes on two cores.
    """

    side: int
    gallery: Callable[[Any, Plan], Gallery]
    corpus: Callable[[np.random.Generator], list[str]]
    vocabulary: int
    phrases: tuple[str, ...] = ()
    plan: Plan = Plan()
    eyes_rest: float = 0.0
    spread: float = 0.02
    reading: Callable[[np.random.Generator], Lesson] | None = None
    reading_steps: int = 0
    seconds: int = 90

    @property
    def patches(self) -> int:
        """Patches along a side."""
        return self.side // PATCH

    @property
    def tokens(self) -> int:
        """Tokens of an image in a prompt."""
        return (self.patches // MERGE) ** 2
