"""The trainer: transformers' own, whose loss sums over the answers of each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from rftkit.models import out_of_memory
from rftkit.models.policy import Policy
from rftkit.shared_prefix.image_cache import ImageCache
from rftkit.training.exact.answers import Question
from rftkit.training.exact.objectives import Goal, Measured, measured


@dataclass(frozen=True)
class Passes:
    """How log-probabilities are computed.

    tokens_at_once: of prompts and answers in one forward and backward pass; a step is computed in
    as many parts as that takes, and a question that has more by itself, its answers some at a time.
    shared: whether a prompt is computed once for its answers.
    """

    temperature: float = 1.0
    tokens_at_once: int = 2**31  # a step of a small model is one
    shared: bool = True


class ExactTrainer(Trainer):
    """Trains on questions with all their answers.

    Its data set's rows have `index`, by which `question` knows an example.
    """

    # called with a line, before the first step, and after each with a question and its (K,)
    on_halved: Callable[[str], None] = staticmethod(lambda line: None)
    on_first: Callable[[ExactTrainer, Question], None] = staticmethod(lambda trainer, asked: None)
    on_step: Callable[[int, Question, Tensor], None] = staticmethod(lambda step, asked, logps: None)

    def __init__(
        self,
        *,
        policy: Policy,
        question: Callable[[int], Question],
        goal: Goal,
        passes: Passes,
        **given: Any,
    ) -> None:
        super().__init__(data_collator=_indices, **given)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over examples
        self.policy, self.question, self.goal = policy, question, goal
        self.temperature, self.shared = passes.temperature, passes.shared
        self.tokens_at_once = passes.tokens_at_once  # fewer where memory ends
        self.images = ImageCache()
        self._base: dict[int, Tensor] = {}  # index -> the base model's log-probabilities
        self._found: list[tuple[Question, Measured, Tensor]] = []  # since metrics were logged
        self._begun = False

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """A step in parts, each with its forward and backward pass; smaller ones if memory ends."""
        while True:
            try:
                self._found.clear()
                return self._step(model, inputs["index"])
            except RuntimeError as error:
                if not out_of_memory.ran_out(error) or not self._halve(inputs["index"]):
                    raise
            # outside the handler: the traceback holds what did not fit
            model.zero_grad(set_to_none=True)
            out_of_memory.free_memory()

    def _step(self, model: Any, indices: Sequence[int]) -> Tensor:
        loss = torch.zeros((), device=self.args.device)
        with self.images.used_by(self.policy.processor.image_processor):
            if not self._begun:
                model.train()
                self.on_first(self, self.question(indices[0]))
                self._begun = True
            for part in self._parts(indices):
                given = {"index": part, "of": len(indices)}
                loss = loss + super().training_step(model, given)
        asked, _, logps = self._found[self.state.global_step % len(self._found)]
        self.on_step(self.state.global_step + 1, asked, logps)
        return loss

    def _parts(self, indices: Sequence[int]) -> Iterator[list[int]]:
        """Indices of as many questions as are computed at once, in their order."""
        part, tokens = list[int](), 0
        for index in indices:
            more = self._tokens(index)
            if part and tokens + more > self.tokens_at_once:
                yield part
                part, tokens = [], 0
            part.append(index)
            tokens += more
        if part:
            yield part

    def _tokens(self, index: int) -> int:
        return self.question(index).tokens(self.shared)

    def _halve(self, indices: Sequence[int]) -> bool:
        """Compute fewer tokens at once from now on. False where that is impossible."""
        largest = max(sum(map(self._tokens, part)) for part in self._parts(indices))
        least = max(self._tokens(index) // len(self.question(index).ids_K) for index in indices)
        if min(largest, self.tokens_at_once) <= least:
            return False
        self.tokens_at_once = max(least, min(largest, self.tokens_at_once) // 2)
        number = self.state.global_step + 1
        self.on_halved(
            f"step {number}: the GPU ran out of memory, so {self.tokens_at_once} tokens are "
            "computed at a time"
        )
        return True

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Of these questions, as their part of a step of `of` questions."""
        indices, of = inputs["index"], inputs["of"]
        asked = [self.question(index) for index in indices]
        bases = self._bases(indices, asked)
        if len(asked) == 1 and self._tokens(indices[0]) > self.tokens_at_once:
            return self._in_pieces(asked[0], bases[0], of)
        with self.accelerator.autocast():
            logps = self.policy.answer_logps(
                [question.prompt for question in asked],
                [question.ids_K for question in asked],
                temperature=self.temperature,
                shared=self.shared,
            )
        found = [
            measured(self.goal, ours, question.rewards_K, base)
            for ours, question, base in zip(logps, asked, bases, strict=True)
        ]
        self._found += zip(asked, found, [one.detach() for one in logps], strict=True)
        loss: Tensor = torch.stack([one.loss for one in found]).sum() / of
        return loss

    def _bases(self, indices: Sequence[int], asked: Sequence[Question]) -> list[Tensor | None]:
        """The base model's log-probabilities: they stay, so each is computed once in a run."""
        if not self.goal.needs_base:
            return [None] * len(asked)
        new = [pair for pair in zip(indices, asked, strict=True) if pair[0] not in self._base]
        if new:
            with torch.no_grad(), self.policy.base():
                for index, question in new:  # one at a time: a resumed run finds the same
                    pieces = [self._piece(question, piece) for piece in self._pieces(index)]
                    self._base[index] = torch.cat(pieces)
        return [self._base[index] for index in indices]

    # The loss L is no sum over answers, but its gradient is: Σ_k (∂L/∂s_k) ∂s_k. So the numbers
    # s_k are computed first, without a gradient, then the factors from them, and then the answers
    # again, a few at a time, each with its factor:
    #
    #   1. s = [s_1 … s_K], piece by piece          2. f = ∂L/∂s          3. Σ f_k s_k, by pieces
    def _in_pieces(self, question: Question, base: Tensor | None, of: int) -> Tensor:
        pieces = list(self._pieces_of(question))
        with torch.no_grad():
            logps = torch.cat([self._piece(question, piece) for piece in pieces])
        logps.requires_grad_()
        found = measured(self.goal, logps, question.rewards_K, base)
        (factors,) = torch.autograd.grad(found.loss, logps)
        self._found.append((question, found, logps.detach()))
        *others, last = pieces
        for piece in others:
            stand_in = (factors[piece] * self._piece(question, piece)).sum() / of
            self.accelerator.backward(stand_in)
        stand_in = (factors[last] * self._piece(question, last)).sum() / of
        return stand_in - stand_in.detach() + found.loss.detach() / of

    def _pieces(self, index: int) -> Iterator[slice]:
        return self._pieces_of(self.question(index))

    def _pieces_of(self, question: Question) -> Iterator[slice]:
        """Of a question's answers, as many as are computed at once."""
        prompt = question.prompt_tokens
        start, tokens = 0, prompt if self.shared else 0
        for number, ids in enumerate(question.ids_K):
            more = len(ids) + (0 if self.shared else prompt)
            if number > start and tokens + more > self.tokens_at_once:
                yield slice(start, number)
                start, tokens = number, prompt if self.shared else 0
            tokens += more
        yield slice(start, len(question.ids_K))

    def some_logps(self, question: Question, piece: slice, *, shared: bool) -> Tensor:
        """(answers,) Of some answers of one question, with a gradient where they are enabled."""
        with self.accelerator.autocast():
            (logps,) = self.policy.answer_logps(
                [question.prompt],
                [question.ids_K[piece]],
                temperature=self.temperature,
                shared=shared,
            )
        return logps

    def _piece(self, question: Question, piece: slice) -> Tensor:
        return self.some_logps(question, piece, shared=self.shared)

    def log(self, logs: dict[str, float], *given: Any, **more: Any) -> None:
        """With what the step's questions came to, by TRL's names."""
        if self._found and "loss" in logs:
            logs = logs | _means(self._found)
            self._found.clear()
        super().log(logs, *given, **more)


def _indices(rows: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """A batch: its images are opened when they are needed."""
    return {"index": [int(row["index"]) for row in rows]}


def _means(found: Sequence[tuple[Question, Measured, Tensor]]) -> dict[str, float]:
    count = len(found)
    values: dict[str, float] = {}
    for question, one, logps in found:
        p_K = logps.double().exp().cpu()
        parts = {f"rewards/{n}/mean": float((p_K * r_K).sum()) for n, r_K in question.parts.items()}
        whole = {"reward": one.reward, "off_list": one.rest, "entropy": one.entropy}
        whole |= {} if one.kl is None else {"kl": one.kl}
        for name, value in {**parts, **whole}.items():
            values[name] = values.get(name, 0.0) + value / count
    return values
