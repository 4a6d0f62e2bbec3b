"""Examples as large as the plan counts with: images of noise, and questions of so many tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from rftkit.core import Example
from rftkit.hardware.phases import ANSWER
from rftkit.hardware.prompt_size import PromptSize
from rftkit.model_info.sizes import shape_of
from rftkit.recipe.schema import Recipe
from rftkit.tasks import get_task


@dataclass(frozen=True)
class NoiseImage:
    """An image that is nowhere on the disk. size: width and height in pixels."""

    seed: int
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """For messages."""
        return f"noise {self.seed}"

    def open(self) -> Image.Image:
        """The image; the same every time."""
        made = np.random.default_rng(self.seed)
        return Image.fromarray(made.integers(0, 255, (*self.size[::-1], 3), dtype=np.uint8))


def noise_examples(
    recipe: Recipe, prompt: PromptSize, count: int, tokens_of: Callable[[str], int]
) -> list[Example]:
    """Examples of the recipe's task with prompts as long as `prompt` says, no two images alike.

    tokens_of: the length of a text in the model's tokens. In every tokenizer known here a digit
    is one token or part of one, so questions end in digits until they are long enough. Exact
    training of labels has a list of numbers, with as many tokens as that of `prompt`.
    """
    task, size = get_task(recipe.task), largest_image(recipe)
    sample = task.sample
    if recipe.method.kind == "exact" and task.predicts_labels:
        first = 10 ** (ANSWER - 2)  # with as many digits as leave a token to the end of the turn
        labels = tuple(map(str, range(first, first + max(2, prompt.list_tokens // ANSWER))))
        sample = replace(sample, choices=labels, labels=labels, gold=labels[0])

    def asked(digits: int) -> Example:
        return replace(sample, question=f"{sample.question} {'7 ' * digits}".strip())

    short = tokens_of(task.prompt(asked(0), recipe.style))
    one = max(1, tokens_of(task.prompt(asked(64), recipe.style)) - short) / 64
    example = asked(max(0, round((prompt.text_tokens - short) / one)))
    images = prompt.images
    return [
        replace(
            example,
            id=f"noise-{number}",
            image=NoiseImage(number * images, size),
            others=tuple(NoiseImage(number * images + more, size) for more in range(1, images)),
        )
        for number in range(count)
    ]


def largest_image(recipe: Recipe) -> tuple[int, int]:
    """Width and height of the largest image that the recipe's budget shows whole, twice as wide."""
    shape = shape_of(recipe.model)
    side = shape.vision.side
    tokens = shape.image_tokens(recipe.model.max_pixels)
    if shape.vision.tile:
        return 2 * shape.vision.tile, shape.vision.tile
    high = max(1, int((tokens / 2) ** 0.5))
    return (tokens // high) * side, high * side
