"""What a model answers to held-out prompts: replies, their likeliest tokens, lists of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rftkit.models.policy import Decoding, Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from rftkit.models.transformers import TransformersPolicy

TOP = 20  # tokens of a step whose log-probabilities are compared


class Answer(NamedTuple):
    """A greedy reply. steps: for each of its ids the likeliest tokens there, id -> nats.

    A step may be empty, where they are not known.
    """

    text: str
    ids: list[int]
    steps: Sequence[Mapping[int, float]]
    finished: bool


class Answering(Protocol):
    """A model that is compared: an export, in whatever runs it."""

    def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Answer]:
        """The greedy reply to each prompt."""

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer. ended: followed by the end of the turn."""


class InTransformers:
    """A model in transformers: the adapter on its base, or an export in the same format."""

    def __init__(self, policy: TransformersPolicy) -> None:
        self.policy = policy

    def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Answer]:
        """The greedy reply to each prompt, each on its own, with its likeliest tokens."""
        found = list[Answer]()
        for prompt in prompts:
            (made,) = self.policy.generate([prompt], Decoding(tokens)).completions
            ids = self.policy.answer_ids(made.text, ended=made.finished).tolist()
            steps = [_likeliest(row) for row in self.distributions(prompt, ids)]
            found.append(Answer(made.text, ids, steps, made.finished))
        return found

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer. ended: followed by the end of the turn."""
        return self.policy.score(prompts, answers, ended=ended)

    def distributions(self, prompt: Prompt, ids: Sequence[int]) -> Tensor:
        """(T, V) log-probabilities at each of these tokens, after the prompt and those before."""
        import torch

        from rftkit.shared_prefix.logps import plain_logps

        policy = self.policy
        images = [one.open() for one in (prompt.image, *prompt.others)]
        inputs = policy.processor(text=[policy.render(prompt)], images=[images],
                                  return_tensors="pt").to(policy.model.device)  # fmt: skip
        policy.model.eval()
        with torch.inference_mode():
            pad, tokens = policy.processor.tokenizer.pad_token_id, torch.tensor(ids).long()
            logps, _, _ = plain_logps(policy.model, inputs, [tokens], pad)
        return logps[0].cpu()


def _likeliest(row: Tensor) -> dict[int, float]:
    values, ids = row.topk(min(TOP, len(row)))
    return dict(zip(ids.tolist(), values.tolist(), strict=True))
