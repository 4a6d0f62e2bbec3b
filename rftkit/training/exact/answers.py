"""The answers of an example: their tokens, and what each of them earns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rftkit.core import Completion, Example
from rftkit.errors import DataError, RecipeError
from rftkit.models.policy import Policy, Prompt, prompt_of
from rftkit.tasks import get_task
from rftkit.training.reward_functions import Scorer, checked, short

if TYPE_CHECKING:
    from rftkit.recipe.schema import Recipe


@dataclass(frozen=True)
class Question:
    """An example with every answer of its list.

    ids_K: the tokens of each, the end of the turn among them. rewards_K: what each earns, the
    recipe's weights applied. parts: reward -> what each earns of it, unweighted. prompt_tokens: of
    the prompt, its images among them.
    """

    example: Example
    prompt: Prompt
    texts: tuple[str, ...]
    ids_K: Sequence[Tensor]
    rewards_K: Tensor
    parts: Mapping[str, Tensor]
    prompt_tokens: int

    def tokens(self, shared: bool) -> int:
        """Of prompt and answers, the prompt once or with each; where answers begin alike, fewer."""
        prompts = 1 if shared else len(self.ids_K)
        return sum(len(ids) for ids in self.ids_K) + prompts * self.prompt_tokens


def questions(recipe: Recipe, policy: Policy, scorer: Scorer) -> Callable[[int], Question]:
    """The question of the n-th example of the scorer's, worked out once.

    Raises DataError if the right answer of an example is not on its list, RecipeError if all
    answers of one earn the same.
    """
    task, examples = get_task(recipe.task), scorer.examples
    ids_of = cache(policy.answer_ids)

    @cache
    def question(number: int) -> Question:
        example = examples[number]
        texts = task.answers(example, recipe.options)
        ids_K = [ids_of(text) for text in texts]
        _check(example, texts, ids_K, task.written(example))
        attempts = [
            task.attempt(example, recipe.style, Completion(text, len(ids), finished=True))
            for text, ids in zip(texts, ids_K, strict=True)
        ]
        rows = [scorer.parts(attempt) for attempt in attempts]
        parts = {
            name: torch.tensor([checked(name, row[name]) for row in rows], dtype=torch.float64)
            for name in rows[0]
        }
        weights = {short(name): weight for name, weight in scorer.weights.items()}
        rewards_K = torch.stack([weights[name] * values for name, values in parts.items()]).sum(0)
        if bool((rewards_K == rewards_K[0]).all()):
            raise RecipeError(
                f"rewards: every answer to {example.id} earns {float(rewards_K[0]):g}, so there is "
                f"nothing to learn; give {task.headline} a weight"
            )
        prompt = prompt_of(task, example, recipe.style)
        tokens = policy.prompt_tokens(prompt)
        return Question(example, prompt, texts, ids_K, rewards_K, parts, tokens)

    return question


def _check(example: Example, texts: Sequence[str], ids_K: Sequence[Tensor], written: str) -> None:
    """Raises DataError where the list is none for this example."""
    if written not in texts:
        raise DataError(
            f"{example.location or example.id}: the answer {written[:60]!r} is not among the "
            f"{len(texts)} of the list; widen options.range, or correct it"
        )
    seen: dict[tuple[int, ...], str] = {}
    for text, ids in zip(texts, ids_K, strict=True):
        other = seen.setdefault(tuple(ids.tolist()), text)
        if other != text:
            raise DataError(
                f"{example.location or example.id}: the answers {other[:60]!r} and {text[:60]!r} "
                "have the same tokens; reword one"
            )
