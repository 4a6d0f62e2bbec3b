"""GRPO whose answers are summed, not sampled: after each sampled thought, all answers of the list.

    reply i     <think> z_i </think><answer> a        of what is sampled the thought z_i is used
    reward      R_i = Σ_k π(a_k | x, z_i) r_k         in place of the reward of the answer a
    gradient    (R_i - mean) / std ∇ log π(z_i | x)   as GRPO computes it, on the thought's tokens
                + Σ_k r_k ∇ π(a_k | x, z_i) / std     exact, for the answer

The expected reward of a thought has never more variance than that of one answer drawn after it
(Rao and Blackwell), and is the same for a whole group only where its thoughts are alike. A reply
whose thought does not end in an answer has R = 0 and no second term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.answers import replies
from rftkit.core import Completion, Example, Style
from rftkit.models.policy import Policy, Prompt, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.tasks import get_task
from rftkit.training.exact.objectives import STD
from rftkit.training.reward_functions import Scorer, short

OPENING, CLOSING = "<answer>", "</answer>"


class Cut(NamedTuple):
    """Where the answer of a reply begins: tokens before it, and what they lack of its tag."""

    tokens: int
    rest: str


def cut(ids: Sequence[int], decode: Callable[[Sequence[int]], str], style: Style) -> Cut | None:
    """The cut of a reply; None if it never comes to an answer.

    decode: of the first tokens of the reply, special tokens and all. Tokens that hold the end of
    the tag and more are cut off, and the tag's end is left to the answers.
    """
    text = decode(ids)
    thought = text.find("</think>") if style == "think" else 0
    start = text.find(OPENING, max(0, thought))
    if thought < 0 or start < 0:
        return None
    end = start + len(OPENING)
    low, high = 0, len(ids)
    while low < high:  # the most tokens whose text does not go beyond the tag
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(decode(ids[:middle])) <= end else (low, middle - 1)
    return Cut(low, text[len(decode(ids[:low])) : end])


@dataclass(frozen=True)
class Thought:
    """A reply up to its answer, and all answers after it.

    number: of the example. begun: the ids of the reply. answers: those of each answer. rewards:
    what each earns, the recipe's weights applied, (K,). scale: what its gradient is multiplied by,
    as the advantage is.
    """

    number: int
    begun: Tensor
    answers: tuple[Tensor, ...]
    rewards: Tensor
    scale: float = 1.0

    def sequences(self) -> list[Tensor]:
        """The reply so far, and then with each answer."""
        return [self.begun, *(torch.cat([self.begun, ids]) for ids in self.answers)]


class Answers:
    """The answers of each example, after any thought."""

    def __init__(self, recipe: Recipe, policy: Policy, scorer: Scorer) -> None:
        self.recipe, self.policy, self.scorer = recipe, policy, scorer
        self.task = get_task(recipe.task)
        own = self.task.rewards if recipe.rules == "strict" else self.task.paper_rewards
        self.weights = {
            name: weight
            for name, weight in scorer.weights.items()
            if name in own and name != "format"
        }
        self.parts = cache(self._parts)
        self._ids = cache(self._ids_after)

    def prompt(self, number: int) -> Prompt:
        """The prompt of the n-th example."""
        return prompt_of(self.task, self.scorer.examples[number], self.recipe.style)

    def thought(self, number: int, ids: Sequence[int]) -> Thought | None:
        """A reply to the n-th example, cut; None if it never comes to an answer."""
        decode = self.policy.processor.tokenizer.decode
        found = cut(ids, decode, self.recipe.style)
        if found is None:
            return None
        parts = self.parts(number)
        rewards = torch.stack([w * parts[short(n)] for n, w in self.weights.items()]).sum(0)
        begun = torch.tensor(ids[: found.tokens], dtype=torch.long)
        return Thought(number, begun, self._ids(number, found.rest), rewards)

    def _texts(self, example: Example) -> tuple[str, ...]:
        return self.task.answers(example, self.recipe.options)

    def _parts(self, number: int) -> dict[str, Tensor]:
        """What each answer earns of each reward, unweighted, in a reply that is well formed."""
        example, rows = self.scorer.examples[number], []
        for text in self._texts(example):
            reply = replies.render(text, replies.STAND_IN, self.recipe.style)
            attempt = self.task.attempt(example, self.recipe.style, Completion(reply))
            rows.append(self.scorer.parts(attempt))
        return {
            short(name): torch.tensor([row[short(name)] for row in rows], dtype=torch.float64)
            for name in self.weights
        }

    def _ids_after(self, number: int, rest: str) -> tuple[Tensor, ...]:
        texts = self._texts(self.scorer.examples[number])
        return tuple(self.policy.answer_ids(f"{rest}{text}{CLOSING}") for text in texts)


@cache
def summing(kind: Any) -> Any:
    """A class of trainers that sums over answers. kind: TRL's, or one on it. Give it `answers`."""

    class SummedTrainer(kind):
        """Rewards of the answer are expectations; the loss has an exact term for it."""

        answers: Answers
        shares = hasattr(kind, "follow_B")
        _thoughts: Sequence[Thought | None] = ()  # of the batch that was generated last

        def _calculate_rewards(
            self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
        ) -> Tensor:
            paid: Tensor = super()._calculate_rewards(
                inputs, prompts, completions, completion_ids_list
            )
            numbers = [int(row["index"]) for row in inputs]
            pairs = zip(numbers, completion_ids_list, strict=True)
            thoughts = [self.answers.thought(number, ids) for number, ids in pairs]
            with torch.no_grad():
                known = {n: one for n, one in enumerate(thoughts) if one is not None}
                logps = self.given(known, shared=self.shares)
            names = self.reward_func_names
            for row, (number, thought) in enumerate(zip(numbers, thoughts, strict=True)):
                for name in self.answers.weights:
                    parts = self.answers.parts(number)[short(name)]
                    chances = 0.0 if thought is None else logps[row].double().exp().cpu()
                    expected = float((chances * parts).sum())
                    paid[row, names.index(short(name))] = expected
            scales = _scales(self, paid)
            self._thoughts = [
                thought and replace(thought, scale=scale)
                for thought, scale in zip(thoughts, scales, strict=True)
            ]
            return paid

        def given(self, thoughts: Mapping[int, Thought], *, shared: bool) -> dict[int, Tensor]:
            """Row -> log π(a_k | x, z), (K,); rows of one prompt are computed together.

            shared: the prompt and each thought once, else with every answer.
            """
            rows_of: dict[int, list[int]] = {}
            for row, thought in thoughts.items():
                rows_of.setdefault(thought.number, []).append(row)
            found: dict[int, Tensor] = {}
            for number, rows in rows_of.items():
                sequences = [thoughts[row].sequences() for row in rows]
                with self.accelerator.autocast():
                    (logps,) = self.answers.policy.answer_logps(
                        [self.answers.prompt(number)],
                        [[ids for row in sequences for ids in row]],
                        temperature=self.temperature,
                        shared=shared,
                    )
                parts = torch.split(logps, [len(row) for row in sequences])
                found |= {row: part[1:] - part[0] for row, part in zip(rows, parts, strict=True)}
            return found

        @contextmanager
        def following(self, thoughts: Sequence[Thought | None]) -> Iterator[None]:
            """Within it a forward of the rows' thoughts leaves their answers in `followed`."""
            self.follow_B = [one.answers if one else () for one in thoughts]
            try:
                yield
            finally:
                self.follow_B = []

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            batch = super()._generate_and_score_completions(inputs)
            mask = batch["completion_mask"].clone()
            for row, thought in enumerate(self._thoughts):
                if thought is not None:
                    mask[row, len(thought.begun) :] = 0
            items = self.accelerator.gather(mask.sum()).sum()
            return {
                **batch,
                "completion_mask": mask,
                "num_items_in_batch": items,
                "thoughts": list(self._thoughts),
            }

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            thoughts: Sequence[Thought | None] = inputs["thoughts"]
            known = {row: one for row, one in enumerate(thoughts) if one is not None}
            if self.shares:
                with self.following(thoughts):
                    loss = super()._compute_loss(model, inputs)
                followed = self.followed
            else:
                loss = super()._compute_loss(model, inputs)
                followed = self.given(known, shared=False)
            normalisers = _normalisers(self, inputs)
            for row, logps in followed.items():
                expected = (logps.double().exp() * known[row].rewards.to(logps.device)).sum()
                loss = loss - known[row].scale * expected.float() / normalisers[row]
            return loss

    SummedTrainer.__name__ = f"Summed{kind.__name__}"
    return SummedTrainer


def _scales(trainer: Any, paid: Tensor) -> list[float]:
    """What TRL divides the advantages of a row by, inverted. paid: (B, rewards)."""
    total = (paid * trainer.reward_weights.to(paid.device)).nansum(1)
    if trainer.scale_rewards == "none":
        return [1.0] * len(total)
    if trainer.scale_rewards == "batch":
        return [1 / (float(total.std()) + STD)] * len(total)
    stds = total.view(-1, trainer.num_generations).std(1) + STD
    return [float(scale) for scale in (1 / stds).repeat_interleave(trainer.num_generations)]


def _normalisers(trainer: Any, inputs: Mapping[str, Any]) -> Tensor:
    """(B,) What TRL's loss divides the tokens of each row by."""
    mask, kind = inputs["completion_mask"], trainer.loss_type
    lengths: Tensor = mask.sum(1).clamp(min=1).float()
    rows = len(mask)
    accumulated = float(trainer.current_gradient_accumulation_steps)
    if kind == "grpo":
        return lengths * rows * accumulated
    if kind == "bnpo":
        return lengths.sum().expand(rows) * accumulated
    if kind == "dr_grpo":
        return torch.full_like(lengths, rows * trainer.max_completion_length * accumulated)
    steps = accumulated / trainer.args.steps_per_generation
    items: Tensor = inputs["num_items_in_batch"].clamp(min=1.0).float() * steps
    return items.expand(rows)
