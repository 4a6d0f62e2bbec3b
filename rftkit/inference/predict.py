"""A fine-tuned model's answers for single images: the logic behind `rftkit predict`."""

from __future__ import annotations

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
from rftkit.inference import question as asked
from rftkit.messages import printable
from rftkit.models import open_for_inference
from rftkit.models.policy import Decoding, Prompt
from rftkit.runs.adapter import aliases_of, find, labels_of
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
class Prediction:
    """What a model answered for an image; `answer` is None if it gave none.

    boxes: of a task that finds boxes; None where the reply holds none that can be read. asked:
    what was looked for, or the question, where images are asked more than one.
    """

    image: Path
    answer: object
    attempt: Attempt
    asked: str = ""
    boxed: bool = False
    boxes: tuple[PixelBox, ...] | None = None

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
        if self.boxed:
            answer = _in_words(self.boxes, self.asked)
        else:
            answer = "no answer could be read" if self.answer is None else str(self.answer)
            answer += f" (not one of the {self._offered()})" if self.off_the_list else ""
        reason = f"  ({' '.join(reasoning.split())})" if reasoning else ""
        return printable(f"{self.image}: {answer}{reason}")

    def _answered(self) -> dict[str, Any]:
        return {"answer": self.answer, "off_the_list": self.off_the_list}

    def _found(self) -> dict[str, Any]:
        if self.boxes is None:
            return {"boxes": None}
        return {"boxes": [{**b._asdict(), "box": list(b.box)} for b in self.boxes]}

    def _offered(self) -> str:
        return "labels" if self.attempt.example.labels else "options"


def predict(
    location: Path, paths: Sequence[Path], console: Console, question: Question = NOTHING
) -> Iterator[Prediction]:
    """Answers for images, in their order; of detection one for each category asked for.

    Every image is opened before a model is loaded. Raises UserError if the task needs a question,
    options or a category that is not given, or cannot use the one that is.
    """
    images = [FileImage(path, str(path)) for path in paths]
    for image in images:
        image.open()
    ckpt = find(location)
    recipe, task = ckpt.recipe, get_task(ckpt.recipe.task)
    prepared = asked.prompts(recipe, labels_of(ckpt), question)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    place_boxes, aliases = grid_setter(recipe.model), aliases_of(ckpt)
    policy = open_for_inference(recipe.model, ckpt.adapter)
    decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
    for image in images:
        for example_of in prepared:
            example = replace(place_boxes(example_of(image)), aliases=aliases)
            text = task.prompt(example, recipe.style)
            prompt = Prompt(image, text, replies.prefill(recipe.style))
            made = policy.generate([prompt], decoding).completions[0]
            attempt = task.attempt(example, recipe.style, replies.with_prefill(made, recipe.style))
            yield _prediction(Path(image.path), task.parsed(attempt), attempt)


def pixel_boxes(attempt: Attempt) -> tuple[PixelBox, ...] | None:
    """The boxes in a reply, of an example whose size is known; None if none can be read."""
    entries = _entries(attempt)
    return None if entries is None else tuple(_in_pixels(entries, attempt.example))


def _prediction(image: Path, answer: object, attempt: Attempt) -> Prediction:
    example = attempt.example
    if "grid" not in example.meta:
        return Prediction(image, answer, attempt, example.meta.get("asked", ""))
    boxes = pixel_boxes(attempt)
    return Prediction(image, answer, attempt, example.meta["asked"], boxed=True, boxes=boxes)


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
