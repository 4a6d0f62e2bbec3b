"""Reads images with a model: the free reply of each, and the probabilities of its list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from rftkit.answers import replies
from rftkit.core import Completion, Example
from rftkit.errors import UserError
from rftkit.inference.by_list import ListAnswer, listed
from rftkit.inference.prediction import Prediction, prediction_of
from rftkit.metrics.lists.calibration import probabilities
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import AnswerModel, Decoding, Prompt, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.adapter import Checkpoint
from rftkit.runs.calibration import CALIBRATION, HeldOutAnswers, read_calibration
from rftkit.tasks import get_task
from rftkit.tasks.question import Question

NOTHING = Question()


@dataclass(frozen=True)
class Answering:
    """What is asked of each image, and how a closed list is answered: by its probabilities, or by
    the free reply alone.

    abstain_at_error: the error, in [0, 1), that the answers given may have; those that would
    exceed it on the held-out images of training are not given. None gives all.
    """

    free: bool = False
    abstain_at_error: float | None = None
    question: Question = NOTHING


BY_LIST = Answering()


@dataclass(frozen=True)
class Surety:
    """How sure an answer is: what the model was calibrated on, the least confidence answered."""

    calibration: HeldOutAnswers | None = None
    threshold: float = 0.0


@dataclass(frozen=True)
class Reader:
    """Asks a model about examples, a batch at a time. free: by the free reply alone."""

    policy: AnswerModel
    recipe: Recipe
    surety: Surety = Surety()
    free: bool = False

    def predict(self, examples: Sequence[Example]) -> Iterator[Prediction]:
        """One answer for each example, all of one batch, replies and lists alike."""
        if not examples:
            return
        recipe, task = self.recipe, get_task(self.recipe.task)
        style = recipe.style
        prompts = [prompt_of(task, example, style) for example in examples]
        decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
        made = self.policy.generate(prompts, decoding)
        answers = self._by_list(examples, prompts, made.completions)
        lengths = made.lengths or (0,) * len(examples)
        rows = zip(examples, made.completions, answers, lengths, strict=True)
        for example, completion, answer, length in rows:
            attempt = task.attempt(example, style, replies.with_prefill(completion, style))
            found = prediction_of(Path(example.image.name), task.parsed(attempt), attempt)
            abstained = answer is not None and answer.confidence < self.surety.threshold
            yield replace(found, by_list=answer, abstained=abstained, prompt_tokens=length)

    def _by_list(
        self, examples: Sequence[Example], prompts: Sequence[Prompt], made: Sequence[Completion]
    ) -> list[ListAnswer | None]:
        """The probabilities of each list, after the reply's own reasoning; None without a list."""
        recipe, task, known = self.recipe, get_task(self.recipe.task), self.surety.calibration
        lists = [{} if self.free else listed(task, one, recipe.options) for one in examples]
        rows = [row for row, spelled in enumerate(lists) if spelled]
        if not rows:
            return [None] * len(examples)
        written = [replies.with_prefill(made[row], recipe.style).text for row in rows]
        chosen = [lists[row] for row in rows]
        scores = list_scores(
            self.policy, [prompts[row] for row in rows], chosen, recipe.style, written
        )
        temperature = known.temperatures.tuned if known else 1.0
        answers: list[ListAnswer | None] = [None] * len(examples)
        for row, by_label in zip(rows, scores, strict=True):
            chances = probabilities(by_label, temperature)
            answers[row] = ListAnswer(chances, calibrated=known is not None)
        return answers


def surety_of(ckpt: Checkpoint, answering: Answering, console: Console) -> Surety:
    """How sure the answers of a checkpoint are; says what leaving some out promises.

    Raises UserError where an error cannot be promised.
    """
    known = None if answering.free else read_calibration(ckpt.adapter)
    return Surety(known, _threshold(ckpt, known, answering, console))


def _threshold(
    ckpt: Checkpoint, known: HeldOutAnswers | None, answering: Answering, console: Console
) -> float:
    """The least confidence that is answered; above 1 where none is. Says what it promises.

    Raises UserError where an error cannot be promised.
    """
    budget = answering.abstain_at_error
    if budget is None:
        return 0.0
    if answering.free or not 0 <= budget < 1:
        why = "a free reply has no probability" if answering.free else "not in [0, 1)"
        raise UserError(f"--abstain-at-error {budget:g}: {why}; give a fraction such as 0.05")
    if not ckpt.recipe.has_list:
        raise UserError("--abstain-at-error: this model answers from no list; leave it out")
    if known is None:
        raise UserError(
            f"--abstain-at-error: {ckpt.adapter} has no {CALIBRATION}, so nothing says how often "
            "it is right; set eval.during, or a split in eval.validation, and train again"
        )
    kept = known.kept_at_error(budget)
    if kept.threshold is None:
        line = f"abstains always: on {kept.n} held-out images even the surest answers were wrong"
    else:
        line = (
            f"abstains below {kept.threshold:.1%}: that keeps {kept.kept} of {kept.n} held-out "
            f"images, {kept.wrong} of them wrong; error at most {kept.error_at_most:.1%} with 95 % "
            "confidence, a little more as the threshold was chosen on the same images"
        )
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    return math.inf if kept.threshold is None else kept.threshold
