"""What a model answered for one image: for people, for programs, and its boxes in pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rftkit.answers.boxes import Box, PredictedBox
from rftkit.answers.literals import in_text
from rftkit.core import Attempt, Example
from rftkit.data.box_grid import annotated_size
from rftkit.inference.by_list import ListAnswer
from rftkit.messages import printable
from rftkit.runs.calibration import rounded
from rftkit.tasks import grounding
from rftkit.tasks.annotated import found_boxes


class PixelBox(NamedTuple):
    """A box in pixels of the user's own image. label: what it was found as."""

    label: str
    box: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True)
class Prediction:
    """What a model answered for an image; `answer` is None if it gave none, or abstained.

    attempt: the free reply, read. by_list: None without a list. boxes: of a task that finds boxes;
    None where the reply holds none that can be read. asked: what was looked for, or the question,
    where images are asked more than one. prompt_tokens: of the whole prompt; 0 where not known.
    """

    image: Path
    free_answer: object
    attempt: Attempt
    asked: str = ""
    boxed: bool = False
    boxes: tuple[PixelBox, ...] | None = None
    by_list: ListAnswer | None = None
    abstained: bool = False
    prompt_tokens: int = 0

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
        said = "no answer could be read" if free is None else in_text(free)
        if found is None:
            return said + (f" (not one of the {self._offered()})" if self.off_the_list else "")
        sure = f"{found.confidence:.0%}" + ("" if found.calibrated else " uncalibrated")
        if self.abstained:
            return f"abstains (by list {found.label}, {sure})"
        beside = "" if free == found.label else f"; the free reply: {said}"
        return f"{found.label} (by list, {sure}{beside})"

    def _offered(self) -> str:
        return "labels" if self.attempt.example.labels else "options"


def pixel_boxes(attempt: Attempt) -> tuple[PixelBox, ...] | None:
    """The boxes in a reply, of an example whose size is known; None if none can be read."""
    entries = _entries(attempt)
    return None if entries is None else tuple(_in_pixels(entries, attempt.example))


def prediction_of(image: Path, free_answer: object, attempt: Attempt) -> Prediction:
    """The free reply of an image, read."""
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
