"""A fine-tuned model's answers for single images: the logic behind `rftkit predict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from rich.console import Console

from rftkit.answers import replies
from rftkit.core import Example
from rftkit.data.box_grid import grid_setter
from rftkit.data.images import FileImage, read_size
from rftkit.errors import DataError, UserError
from rftkit.inference import question as asked
from rftkit.inference.by_list import ListAnswer, listed
from rftkit.inference.prediction import Prediction, prediction_of
from rftkit.metrics.lists.calibration import probabilities
from rftkit.models import open_for_inference
from rftkit.models.list_scores import Spellings, list_scores
from rftkit.models.policy import AnswerModel, Decoding, Prompt, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.adapter import Checkpoint, aliases_of, find, labels_of
from rftkit.runs.calibration import CALIBRATION, HeldOutAnswers, read_calibration
from rftkit.tasks import get_task
from rftkit.tasks.question import Question

NOTHING = Question()
Skip = Callable[[Path, str], None]  # an image that cannot be read, and the line that says why


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


def predict(
    location: Path,
    paths: Sequence[Path],
    console: Console,
    answering: Answering = BY_LIST,
    skip: Skip | None = None,
) -> Iterator[Prediction]:
    """Answers for images, in their order; of detection one for each category asked for.

    skip: is told of each image that cannot be read, which is then left out. Without it all are
    opened before a model is loaded, and the first that cannot be raises DataError. Raises UserError
    if the task needs a question, options or a category that is not given, or cannot use the one
    that is, and if nothing says when to abstain.
    """
    images = [FileImage(path, str(path)) for path in paths]
    if skip is None:
        for image in images:
            image.open()
    elif all(faults := [_fault(image, header=True) for image in images]):
        for path, fault in zip(paths, faults, strict=True):
            skip(path, fault)
        return  # before a model is loaded
    ckpt = find(location)
    recipe = ckpt.recipe
    prepared = asked.prompts(recipe, labels_of(ckpt), answering.question)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    for line in _untrained(answering.question.categories, labels_of(ckpt)):
        console.print(line, highlight=False, markup=False)
    calibration = None if answering.free else read_calibration(ckpt.adapter)
    threshold = _threshold(ckpt, calibration, answering, console)
    place_boxes, aliases = grid_setter(recipe.model), aliases_of(ckpt)
    policy = open_for_inference(recipe.model, ckpt.adapter)
    reader = _Reader(policy, recipe, calibration, answering.free, threshold)
    width = max(1, recipe.eval.batch_size // len(prepared))
    for start in range(0, len(images), width):
        batch = [(image, skip and _fault(image)) for image in images[start : start + width]]
        examples = [
            replace(place_boxes(example_of(image)), aliases=aliases)
            for image, fault in batch
            if not fault
            for example_of in prepared
        ]
        found = reader.predict(examples)
        for image, why in batch:
            if skip and why:
                skip(Path(image.path), why)
            else:
                yield from islice(found, len(prepared))


def _untrained(asked_for: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    """A line for each category that looks like a trained one that was mistyped."""
    for name in asked_for:
        close = get_close_matches(name, labels, 1)
        if close and name not in labels:
            yield f"note: {name!r} was not trained; did you mean {close[0]!r}?"


def _fault(image: FileImage, *, header: bool = False) -> str:
    """Why an image, or its header alone, cannot be read; "" if it can."""
    try:
        if header:
            read_size(Path(image.path), image.name)
        else:
            image.open()
    except DataError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class _Reader:
    """Asks a model one example after another. threshold: the least confidence that is answered."""

    policy: AnswerModel
    recipe: Recipe
    calibration: HeldOutAnswers | None
    free: bool
    threshold: float

    def predict(self, examples: Sequence[Example]) -> Iterator[Prediction]:
        """One answer for each example, all of one batch."""
        if not examples:
            return
        recipe, task = self.recipe, get_task(self.recipe.task)
        style = recipe.style
        prompts = [prompt_of(task, example, style) for example in examples]
        decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
        made = self.policy.generate(prompts, decoding).completions
        for example, prompt, completion in zip(examples, prompts, made, strict=True):
            attempt = task.attempt(example, style, replies.with_prefill(completion, style))
            found = prediction_of(Path(example.image.name), task.parsed(attempt), attempt)
            spelled = {} if self.free else listed(task, example, recipe.options)
            yield self._by_list(found, prompt, spelled) if spelled else found

    def _by_list(self, found: Prediction, prompt: Prompt, spelled: Spellings) -> Prediction:
        """The prediction with the probability of each answer of its list."""
        reply, known = found.attempt.completion.text, self.calibration
        (by_label,) = list_scores(self.policy, [prompt], [spelled], self.recipe.style, [reply])
        chances = probabilities(by_label, known.temperatures.tuned if known else 1.0)
        answer = ListAnswer(chances, calibrated=known is not None)
        return replace(found, by_list=answer, abstained=answer.confidence < self.threshold)


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
