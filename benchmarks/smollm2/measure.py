"""How often a model's folder is right about held-out digits, printed and handwritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from rftkit.answers import replies
from rftkit.core import LazyImage, Style
from rftkit.data.sources.builtin import digits_rows
from rftkit.data.synthetic.digits import DIGITS, draw_digit
from rftkit.models.policy import Decoding, Prompt
from rftkit.models.tiny.drawing_lessons import prompt_text
from rftkit.models.transformers import TransformersPolicy, open_transformers
from rftkit.recipe.sections import Model

QUESTION = "What is shown in this picture?"
BUDGET: dict[Style, int] = {"direct": 8, "think": 40}
BATCH = 20
HELD_OUT = 1_000_003  # the seed of drawings that no lesson has shown


@dataclass(frozen=True)
class Drawing:
    """A printed digit, drawn each time it is opened, always the same."""

    name: str
    label: str
    seed: tuple[int, int]

    def open(self) -> Image.Image:
        """The drawing, mode RGB."""
        return draw_digit(self.label, np.random.default_rng(self.seed))


class Shown(NamedTuple):
    """An image and what it shows."""

    image: LazyImage
    label: str


def measure(folder: Path, images: int, seed: int) -> dict[str, dict[str, float]]:
    """Per cent that are right by list and by free reply, and well-formed free replies.

    The handwriting is of the training split: the test split is a study's.
    """
    policy = open_transformers(Model(name=str(folder), load_in_4bit=False))
    drawn = [Drawing(f"{n}", DIGITS[n % 10], (HELD_OUT + seed, n)) for n in range(images)]
    rows = list(digits_rows("train"))[:images]
    sets = {
        "printed": [Shown(one, one.label) for one in drawn],
        "handwritten": [Shown(row.image, str(row.values["label"])) for row in rows],
    }
    return {
        f"{name}, {style}": _asked(policy, shown, style)
        for name, shown in sets.items()
        for style in BUDGET
    }


def _asked(policy: TransformersPolicy, shown: Sequence[Shown], style: Style) -> dict[str, float]:
    text = prompt_text(QUESTION, DIGITS, style)
    answers = [replies.continuation(digit, style) for digit in DIGITS]
    listed = free = formed = 0
    for start in range(0, len(shown), BATCH):
        gold = [one.label for one in shown[start : start + BATCH]]
        prompts = [Prompt(one.image, text) for one in shown[start : start + BATCH]]
        scores = policy.score(prompts, [answers] * len(prompts))
        listed += sum(DIGITS[int(np.argmax(s))] == g for s, g in zip(scores, gold, strict=True))
        made = policy.generate(prompts, Decoding(BUDGET[style])).completions
        free += sum(replies.read(c, style).answer == g for c, g in zip(made, gold, strict=True))
        formed += sum(replies.well_formed(c.text, style) for c in made)
        if not start:
            print(f"{style}: {[c.text for c in made[:4]]}", flush=True)
    share = 100 / len(shown)
    return {"list": share * listed, "free": share * free, "well-formed": share * formed}
