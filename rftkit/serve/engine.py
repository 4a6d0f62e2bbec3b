"""What answers: a model behind two calls, one for the trained question and one for any other."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rftkit.core import Completion, Example
from rftkit.inference.prediction import Prediction
from rftkit.inference.reader import Reader
from rftkit.models.policy import Decoding, Prompt

REMEDY = "send a smaller image or fewer tokens, or start the service with a smaller --max-batch"


@dataclass(frozen=True)
class Ask:
    """The trained question about one image; an example for each of its prompts."""

    examples: tuple[Example, ...]

    @property
    def size(self) -> int:
        """Prompts."""
        return len(self.examples)

    @property
    def shares(self) -> Hashable:
        """Requests of one kind share a forward."""
        return "ask"


@dataclass(frozen=True)
class Chat:
    """A question of the client's own. seeded: the sample must not depend on who else asks."""

    prompt: Prompt
    decoding: Decoding
    seeded: bool = False
    size: int = 1

    @property
    def shares(self) -> Hashable:
        """Requests that are decoded alike share a forward; with a seed of its own it is alone."""
        alone = self.seeded and self.decoding.temperature > 0
        return object() if alone else self.decoding


class Said(NamedTuple):
    """The reply to a `Chat`."""

    completion: Completion
    prompt_tokens: int


Work = Ask | Chat
Answer = Sequence[Prediction] | Said


class Engine(Protocol):
    """What the queue hands its batches to, one at a time."""

    def ask(self, examples: Sequence[Example]) -> Sequence[Prediction]:
        """One prediction for each example, all in one batch."""

    def chat(self, prompts: Sequence[Prompt], decoding: Decoding) -> Sequence[Said]:
        """One reply to each prompt, all in one batch."""


@dataclass(frozen=True)
class ModelEngine:
    """A fine-tuned model, read as `rftkit predict` reads it."""

    reader: Reader

    def ask(self, examples: Sequence[Example]) -> Sequence[Prediction]:
        """One prediction for each example, all in one batch."""
        from rftkit.models import out_of_memory

        with out_of_memory.named("answering", REMEDY):
            return [*self.reader.predict(examples)]

    def chat(self, prompts: Sequence[Prompt], decoding: Decoding) -> Sequence[Said]:
        """One reply to each prompt, all in one batch."""
        from rftkit.models import out_of_memory

        with out_of_memory.named("answering", REMEDY):
            made = self.reader.policy.generate(prompts, decoding)
        lengths = made.lengths or (made.prompt_tokens,) * len(prompts)
        return [*map(Said, made.completions, lengths)]


def answer(engine: Engine, batch: Sequence[Work]) -> list[Answer]:
    """The answer to each of some works, which share a forward."""
    asks = [work for work in batch if isinstance(work, Ask)]
    if asks:
        found = iter(engine.ask([one for work in asks for one in work.examples]))
        return [[next(found) for _ in work.examples] for work in asks]
    chats = [work for work in batch if isinstance(work, Chat)]
    decoding, seeded = chats[0].decoding, chats[0].seeded
    if decoding.temperature > 0 and not seeded:
        drawn = random.randrange(2**31)
        top = (decoding.temperature, drawn, decoding.top_p)
        decoding = Decoding(decoding.max_new_tokens, *top)
    return [*engine.chat([work.prompt for work in chats], decoding)]
