"""A fine-tuned model's answers for single images: the logic behind `rftkit predict`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from rftkit.answers import replies
from rftkit.answers.boxes import Box, PredictedBox
from rftkit.core import Attempt, Example
from rftkit.data.box_grid import annotated_size, grid_setter
from rftkit.data.images import FileImage
from rftkit.errors import UserError
from rftkit.inference import question as asked
from rftkit.inference.by_list import ListAnswer, listed
from rftkit.messages import printable
from rftkit.metrics.lists.calibration import probabilities
from rftkit.models import open_for_inference
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import AnswerModel, Decoding, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.adapter import Checkpoint, aliases_of, find, labels_of
from rftkit.runs.calibration import CALIBRATION, HeldOutAnswers, read_calibration, rounded
from rftkit.tasks import get_task, grounding
from rftkit.tasks.annotated import found_boxes
from rftkit.tasks.question import Question

NOTHING = Question()


class PixelBox(NamedTuple):
    """A box in pixels of the user's own image. label: what it was found as."""

    label: str
    box: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True)
class Answering:
    """How a closed list is answered: by its probabilities, or by the free reply alone.

    abstain_at_error: the error, in [0, 1), that the answers given may have; those that would
    exceed it on the held-out images of training are not given. None gives all.
    """

    free: bool = False
    abstain_at_error: float | None = None


BY_LIST = Answering()


@dataclass(frozen=True)
class Prediction:
    """What a model answered for an image; `answer` is None if it gave none, or abstained.

    attempt: the free reply, read. by_list: None without a list. boxes: of a task that finds boxes;
    None where the reply holds none that can be read. asked: what was looked for, or the question,
    where images are asked more than one.
    """

    image: Path
    free_answer: object
    attempt: Attempt
    asked: str = ""
    boxed: bool = False
    boxes: tuple[PixelBox, ...] | None = None
    by_list: ListAnswer | None = None
    abstained: bool = False

    @property
    def answer(self) -> object:
        """The likeliest label of a list, else what the free reply says."""
        if self.abstained:
            return None
        return self.by_list.label if self.by_list else self.free_answer

    @property
    def off_the_list(self) -> bool:
        """Whether the answer is none of the labels or options that were offered."""
        choices = self.attempt.example.choices
        return bool(choices) and self.answer is not None and self.answer not in choices

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        reply, made = self.attempt.reply, self.attempt.completion
        return {
            "image": str(self.image),
            **({"asked": self.asked} if self.asked else {}),
            **(self._found() if self.boxed else self._answered()),
            "reasoning": reply.reasoning,
            "text": made.text,
            "tokens": made.tokens,
            "finished": made.finished,
        }

    def line(self) -> str:
        """For people: the image, the answer, and the reasoning where there is one."""
        reasoning = self.attempt.reply.reasoning
        answer = _in_words(self.boxes, self.asked) if self.boxed else self._words()
        reason = f"  ({' '.join(reasoning.split())})" if reasoning else ""
        return printable(f"{self.image}: {answer}{reason}")

    def _answered(self) -> dict[str, Any]:
        answered = {"answer": self.answer, "off_the_list": self.off_the_list}
        found = self.by_list
        if found is None:
            return answered
        return answered | {
            "free_answer": self.free_answer,
            "probabilities": {k: rounded(chance) for k, chance in found.probabilities.items()},
            "calibrated": found.calibrated,
            "confidence": found.confidence,
            "abstained": self.abstained,
        }

    def _found(self) -> dict[str, Any]:
        if self.boxes is None:
            return {"boxes": None}
        return {"boxes": [{**b._asdict(), "box": list(b.box)} for b in self.boxes]}

    def _words(self) -> str:
        """The answer of a task without boxes, and how it came about."""
        found, free = self.by_list, self.free_answer
        said = "no answer could be read" if free is None else str(free)
        if found is None:
            return said + (f" (not one of the {self._offered()})" if self.off_the_list else "")
        sure = f"{found.confidence:.0%}" + ("" if found.calibrated else " uncalibrated")
        if self.abstained:
            return f"abstains (by list {found.label}, {sure})"
        beside = "" if free == found.label else f"; the free reply: {said}"
        return f"{found.label} (by list, {sure}{beside})"

    def _offered(self) -> str:
        return "labels" if self.attempt.example.labels else "options"


def predict(
    location: Path,
    paths: Sequence[Path],
    console: Console,
    question: Question = NOTHING,
    answering: Answering = BY_LIST,
) -> Iterator[Prediction]:
    """Answers for images, in their order; of detection one for each category asked for.

    Every image is opened before a model is loaded. Raises UserError if the task needs a question,
    options or a category that is not given, or cannot use the one that is, and if nothing says
    when to abstain.
    """
    images = [FileImage(path, str(path)) for path in paths]
    for image in images:
        image.open()
    ckpt = find(location)
    recipe = ckpt.recipe
    prepared = asked.prompts(recipe, labels_of(ckpt), question)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    calibration = None if answering.free else read_calibration(ckpt.adapter)
    threshold = _threshold(ckpt, calibration, answering, console)
    place_boxes, aliases = grid_setter(recipe.model), aliases_of(ckpt)
    policy = open_for_inference(recipe.model, ckpt.adapter)
    reader = _Reader(policy, recipe, calibration, answering.free, threshold)
    for image in images:
        for example_of in prepared:
            yield reader.predict(replace(place_boxes(example_of(image)), aliases=aliases))


@dataclass(frozen=True)
class _Reader:
    """Asks a model one example after another. threshold: the least confidence that is answered."""

    policy: AnswerModel
    recipe: Recipe
    calibration: HeldOutAnswers | None
    free: bool
    threshold: float

    def predict(self, example: Example) -> Prediction:
        recipe, task = self.recipe, get_task(self.recipe.task)
        style = recipe.style
        prompt = prompt_of(task, example, style)
        decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
        made = self.policy.generate([prompt], decoding).completions[0]
        attempt = task.attempt(example, style, replies.with_prefill(made, style))
        found = _prediction(Path(example.image.name), task.parsed(attempt), attempt)
        spelled = {} if self.free else listed(task, example, recipe.options)
        if not spelled:
            return found
        reply = attempt.completion.text
        (by_label,) = list_scores(self.policy, [prompt], [spelled], style, [reply])
        known = self.calibration
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


def pixel_boxes(attempt: Attempt) -> tuple[PixelBox, ...] | None:
    """The boxes in a reply, of an example whose size is known; None if none can be read."""
    entries = _entries(attempt)
    return None if entries is None else tuple(_in_pixels(entries, attempt.example))


def _prediction(image: Path, free_answer: object, attempt: Attempt) -> Prediction:
    example = attempt.example
    if "grid" not in example.meta:
        return Prediction(image, free_answer, attempt, example.meta.get("asked", ""))
    boxes = pixel_boxes(attempt)
    return Prediction(image, free_answer, attempt, example.meta["asked"], boxed=True, boxes=boxes)


def _entries(attempt: Attempt) -> list[PredictedBox] | None:
    if "phrase" not in attempt.example.meta:
        return found_boxes(attempt)
    box = grounding.found(attempt)
    return None if box is None else [PredictedBox(box)]


def _in_pixels(entries: Sequence[PredictedBox], example: Example) -> Iterator[PixelBox]:
    """The entries that are boxes, in pixels with one decimal."""
    width, height = annotated_size(example)
    scale = Box(width, height, width, height)
    for entry in entries:
        if entry.box is not None:
            x1, y1, x2, y2 = (round(a * b, 1) for a, b in zip(entry.box, scale, strict=True))
            label = example.category or example.meta.get("phrase") or entry.label or "object"
            yield PixelBox(label, (x1, y1, x2, y2), entry.confidence)


def _in_words(boxes: Sequence[PixelBox] | None, asked_for: str) -> str:
    if boxes is None:
        return f"{asked_for}: no box could be read"
    texts = [
        f"{label} at {box[0]:g},{box[1]:g} – {box[2]:g},{box[3]:g} ({confidence:g})"
        for label, box, confidence in boxes
    ]
    return "; ".join(texts) or f"{asked_for}: none"
