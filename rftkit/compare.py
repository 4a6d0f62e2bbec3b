"""A tuned model's answers for single images: the logic behind `rftkit predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rftkit import replies
from rftkit.ckpt import Checkpoint, find, labels_of
from rftkit.core import Attempt, Completion, Example
from rftkit.data.images import FilePicture
from rftkit.models import open_policy
from rftkit.models.policy import Decoding, Prompt
from rftkit.printable import printable
from rftkit.tasks import by_name


@dataclass(frozen=True)
class Prediction:
    """What a model answered for an image; `answer` is None if it gave none."""

    image: Path
    answer: object
    attempt: Attempt

    @property
    def off_the_list(self) -> bool:
        """Whether the answer is none of the labels that were offered."""
        choices = self.attempt.example.choices
        return bool(choices) and self.answer is not None and self.answer not in choices

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        reply, made = self.attempt.reply, self.attempt.completion
        return {
            "image": str(self.image),
            "answer": self.answer,
            "off_the_list": self.off_the_list,
            "reasoning": reply.reasoning,
            "text": made.text,
            "tokens": made.tokens,
            "finished": made.finished,
        }

    def line(self) -> str:
        """For people: the image, the answer, and the reasoning where there is one."""
        said = self.attempt.reply.reasoning
        answer = "no answer could be read" if self.answer is None else str(self.answer)
        answer += " (not one of the labels)" if self.off_the_list else ""
        reason = f"  ({' '.join(said.split())})" if said else ""
        return printable(f"{self.image}: {answer}{reason}")


def predict(place: Path, images: Sequence[Path], console: Console) -> Iterator[Prediction]:
    """Answers for images, in their order. Every image is opened before a model is loaded."""
    pictures = [FilePicture(path, str(path)) for path in images]
    for picture in pictures:
        picture.open()
    ckpt = find(place)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    recipe, task = ckpt.recipe, by_name(ckpt.recipe.task)
    labels = labels_of(ckpt)
    policy = open_policy(recipe.model, ckpt.adapter)
    decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
    for picture in pictures:
        example = _example(picture, ckpt, labels)
        text = task.prompt(example, recipe.style)
        prompt = Prompt(picture, text, replies.prefill(recipe.style))
        made = policy.generate([prompt], decoding).completions[0]
        whole = Completion(prompt.prefill + made.text, made.tokens, made.finished)
        attempt = task.attempt(example, recipe.style, whole)
        yield Prediction(picture.path, task.parsed(attempt), attempt)


def _example(picture: FilePicture, ckpt: Checkpoint, labels: tuple[str, ...]) -> Example:
    data = ckpt.recipe.data
    question = data.question or by_name(ckpt.recipe.task).sample.question
    choices = () if data.choices == "none" else labels
    return Example(picture.name, picture, question, "", choices, labels)
