"""What the rest of rftkit asks of a model, whatever backend holds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rftkit.answers import replies
from rftkit.core import Completion, Example, LazyImage, Style
from rftkit.models.processing.template import prompt_text
from rftkit.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from rftkit.hardware.phases import Generation as Engine
    from rftkit.shared_prefix.feature_cache import FeatureCache


@dataclass(frozen=True)
class Prompt:
    """An image and the text beside it; `prefill` is already written of the reply.

    others: further images of the same question, shown after the first. thinks: whether the style
    has reasoning, for models that have a switch for it. schema: the JSON Schema that an engine may
    hold the reply to.
    """

    image: LazyImage
    text: str
    prefill: str = ""
    others: tuple[LazyImage, ...] = ()
    thinks: bool = False
    schema: str = ""


def prompt_of(task: Task, example: Example, style: Style) -> Prompt:
    """What a model is shown of an example, with the style's prefill."""
    prompt = prompt_with(task.prompt(example, style), example, style)
    return replace(prompt, schema=schema_of(task, example, style))


def prompt_with(text: str, example: Example, style: Style) -> Prompt:
    """The same with another text beside the images, and no schema."""
    return Prompt(
        example.image, text, replies.prefill(style), example.others, replies.thinks(style)
    )


def schema_of(task: Task, example: Example, style: Style) -> str:
    """The JSON Schema of a whole reply: that of the answer in style direct, in others "": none."""
    return task.schema(example) if style == "direct" else ""


def rendered(processor: Any, prompt: Prompt) -> str:
    """The whole text that a model reads, chat template and prefill included."""
    images = 1 + len(prompt.others)
    return prompt_text(processor, prompt.text, images, prompt.thinks) + prompt.prefill


@dataclass(frozen=True)
class Decoding:
    """How completions are drawn: temperature 0 is greedy, and then top_p says nothing.

    structured: each prompt's reply is held to its schema, where the engine can do that.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0
    structured: bool = False


class Generation(NamedTuple):
    """The completions of a batch, and how long the whole batch and its first token took.

    prompt_tokens: of the longest prompt, with its image_tokens. lengths: tokens of each prompt.
    """

    completions: list[Completion]
    seconds: float
    first_token_seconds: float
    prompt_tokens: int = 0
    image_tokens: int = 0
    lengths: tuple[int, ...] = ()


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


class ProbeFeatures(NamedTuple):
    """Features of some prompts, (prompts, D) each; where there are none, why, in words.

    vision: the mean of a prompt's projected image tokens. hidden: of the prompt's last token, after
    the final layer.
    """

    vision: NDArray[np.float32] | str
    hidden: NDArray[np.float32] | str


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
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer. ended: followed by the end of the turn."""

    def count_tokens(self, text: str) -> int:
        """Length of a text in this model's tokens."""

    def add_adapter(self, adapter: Path) -> str:
        """Load another adapter beside the first; the name by which `using` knows it.

        Raises ModelError if it does not fit, or this engine serves one adapter only.
        """

    def using(self, name: str) -> AbstractContextManager[None]:
        """Within it an adapter that was added answers in place of the first."""

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

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Length of a whole prompt in the model's tokens, those of its images among them."""

    def answer_ids(self, answer: str, *, ended: bool = True) -> Tensor:
        """(T,) The tokens of an answer, on the CPU. ended: and of the end of the turn."""

    def answer_logps(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Sequence[Tensor]],
        *,
        temperature: float = 1.0,
        shared: bool = True,
    ) -> list[Tensor]:
        """Log-probability, in nats, of each prompt's answers, with a gradient where enabled.

        answers: as `answer_ids` gives them. shared: compute each prompt once, where that is
        possible. Returns (answers,) for each prompt.
        """

    def probe_features(self, prompts: Sequence[Prompt]) -> ProbeFeatures:
        """What the model makes of each prompt, all in one batch, for a classifier on top."""

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
