"""What the rest of rftkit asks of a model, whatever backend holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rftkit.core import Completion, LazyImage

if TYPE_CHECKING:
    from rftkit.hardware.memory_plan import Generation as Engine
    from rftkit.shared_prefix.feature_cache import FeatureCache


@dataclass(frozen=True)
class Prompt:
    """An image and the text beside it; `prefill` is already written of the reply.

    others: further images of the same question, shown after the first.
    """

    image: LazyImage
    text: str
    prefill: str = ""
    others: tuple[LazyImage, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """How completions are drawn: temperature 0 is greedy, and then top_p says nothing."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0


class Generation(NamedTuple):
    """The completions of a batch, and how long the whole batch and its first token took.

    prompt_tokens: of the longest prompt, with its image_tokens.
    """

    completions: list[Completion]
    seconds: float
    first_token_seconds: float
    prompt_tokens: int = 0
    image_tokens: int = 0


Watch = Callable[[Completion], bool]  # sees a completion grow, token by token; True ends it


@dataclass(frozen=True)
class ModelFacts:
    """What a report must name of a model and the machine it is on. max_pixels: image budget."""

    model: str
    revision: str
    backend: str
    dtype: str
    quantisation: str
    max_pixels: int
    device: str


class AnswerModel(Protocol):
    """A model that answers, with an adapter on it: transformers', Unsloth's or vLLM's.

    The base and the fine-tuned model share one copy of the weights.
    """

    processor: Any
    base_apart: bool  # whether `base` is a model of its own, not the adapter switched off

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, watch: Watch | None = None
    ) -> Generation:
        """One completion per prompt, all in one batch. watch: of the first one."""

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer followed by the end of the turn."""

    def count_tokens(self, text: str) -> int:
        """Length of a text in this model's tokens."""

    def base(self) -> AbstractContextManager[None]:
        """Within it the adapter is off: the model answers as it was before training."""

    def facts(self) -> ModelFacts:
        """What a report must name."""


class Policy(AnswerModel, Protocol):
    """A generator whose adapter is trained."""

    model: Any  # a PeftModel, or before training the bare model
    features: FeatureCache | None  # of the images, where the vision encoder is frozen
    shares: bool  # whether equal prompts may be computed once
    generation: Engine  # what writes completions while it is trained

    def new_adapter(self) -> Any:
        """The PEFT configuration of the adapter a trainer is to add; None if one is there."""

    def save(self, folder: Path) -> None:
        """Write the adapter as plain PEFT."""

    def stop_ids(self) -> list[int]:
        """Tokens that end a completion."""

    def banned_ids(self) -> list[int]:
        """Tokens that must not be sampled."""

    def fingerprint(self) -> str:
        """A hash by which a resumed run knows its base weights again."""
