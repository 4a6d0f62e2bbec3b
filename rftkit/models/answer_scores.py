"""Log-probabilities of given answers: each prompt computed once where that is proved, else anew.

The first list that a model scores is computed both ways:

    shared   prompt | rose | tulip | oak        one row, a tree
    plain    prompt | rose                      a row for each answer
             prompt | tulip
             prompt | oak

Where the two differ by more than rounding, or the first fails, every list is scored plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rftkit.models import out_of_memory
from rftkit.models.policy import Prompt
from rftkit.shared_prefix.difference import FAILURES, Difference, allowed, apart

COMPARED = 3  # answers
ROWS = 4  # of a plain forward, for each prompt: labels are short, images are not

Logps = Callable[..., list[Tensor]]  # a policy's `answer_logps`


class AnswerScores:
    """Scores lists of answers by the faster way, until it is not as the slower one.

    logps: computes either way. half: whether it computes in 16 bit, which rounds more. give_up: is
    told once why prompts are not to be computed once any more.
    """

    def __init__(self, logps: Logps, give_up: Callable[[Exception], None], *, half: bool) -> None:
        self.logps, self.half, self.give_up = logps, half, give_up
        self.proved = False

    def shared(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Tensor]]
    ) -> list[list[float]] | None:
        """For each prompt (answers,), in nats; None if the faster way is left.

        answers: those of one prompt at least are not empty.
        """
        try:
            if not self.proved:
                prompt, row = next(pair for pair in zip(prompts, answers, strict=True) if pair[1])
                self._prove(prompt, row[:COMPARED])
            return [found.tolist() for found in self.logps(prompts, answers)]
        except FAILURES as error:
            if out_of_memory.ran_out(error):
                raise
            self.give_up(error)
            return None

    def plain(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Tensor]]
    ) -> list[list[float]]:
        """The same by a row for each answer, some rows at a time."""
        pairs = zip(prompts, answers, strict=True)
        rows = [(prompt, one) for prompt, row in pairs for one in row]
        flat: list[float] = []
        width = ROWS * max(1, len(prompts))
        for start in range(0, len(rows), width):
            flat += self._rows(rows[start : start + width]).tolist()
        values = iter(flat)
        return [[next(values) for _ in row] for row in answers]

    def _rows(self, rows: Sequence[tuple[Prompt, Tensor]]) -> Tensor:
        """(rows,) float32, in one plain forward."""
        prompts, answers = [prompt for prompt, _ in rows], [[answer] for _, answer in rows]
        return torch.cat(self.logps(prompts, answers, shared=False))

    def _prove(self, prompt: Prompt, answers: Sequence[Tensor]) -> None:
        """Raises ValueError if both ways differ by more than what the slower differs from itself.

        Out of memory is no proof either way: the slower way then cannot run, the faster may.
        """
        rows = [(prompt, answer) for answer in answers]
        tokens = max(1, sum(map(len, answers)))
        try:
            plain = self._rows(rows).cpu()
            alone = torch.cat([self._rows([row]) for row in rows])
        except RuntimeError as error:
            if not out_of_memory.ran_out(error):
                raise
            out_of_memory.free_memory()
            self.proved = True
            return
        (packed,) = self.logps([prompt], [answers])
        most = allowed(_each(alone, plain, tokens), half=self.half)
        difference = _each(packed, plain, tokens)
        if not difference.within(most):
            raise ValueError(difference.words)
        self.proved = True


def _each(one: Tensor, other: Tensor, tokens: int) -> Difference:
    """Between sums over answers, (answers,), which have so many tokens together."""
    return Difference(apart(one, other) * len(other) / tokens)
