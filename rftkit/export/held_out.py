"""The held-out prompts by which an export is proved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from rftkit.core import Example, LazyImage
from rftkit.data.examples import load_examples
from rftkit.errors import DataError, HubError
from rftkit.export.proof import Asked
from rftkit.inference.by_list import listed
from rftkit.model_info.families import WIDEST, Family, family_of, resized
from rftkit.models.policy import Prompt, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model
from rftkit.tasks import get_task


@dataclass(frozen=True)
class FittedImage:
    """An image in a size that the model's own processor leaves as it is (`fitted_size`)."""

    image: LazyImage
    model: Model

    @property
    def name(self) -> str:
        """That of the image."""
        return self.image.name

    def open(self) -> Image.Image:
        """The image, resized, so that neither transformers nor llama.cpp has anything to do."""
        image = self.image.open()
        size = fitted_size(image.size, family_of(self.model), self.model.max_pixels)
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def fitted_size(size: tuple[int, int], family: Family, max_pixels: int) -> tuple[int, int]:
    """The size at which the processor would show an image, if it leaves that as it is.

    Else, of the sizes that it leaves, the nearest in shape: where the least and most pixels lie
    close together, it shows 96 x 80 at 56 x 28, and enlarges that when it meets it again.
    """
    shown = resized(size, family, max_pixels)
    if resized(shown, family, max_pixels) == shown:
        return shown
    factor, shape = family.factor, size[0] / size[1]
    most = min(max_pixels, family.max_pixels) // factor**2
    sizes = [(wide * factor, most // wide * factor) for wide in range(1, most + 1)]
    left = [one for one in sizes if max(one) <= WIDEST * min(one) and
            resized(one, family, max_pixels) == one]  # fmt: skip
    return min(left, key=lambda one: abs(math.log(one[0] / one[1] / shape)), default=shown)


def held_out(recipe: Recipe, count: int) -> Sequence[Example]:
    """Examples of the test split, evenly by label where there are labels.

    Raises DataError, saying what helps, where its images are not there.
    """
    try:
        examples = load_examples(recipe, recipe.data.test_split, limit=count).examples
    except HubError:
        raise
    except DataError as error:
        raise DataError(f"{error} (an export is proved on held-out images; --no-proof does "
                        "without)") from None  # fmt: skip
    return examples[:count]


def prompt_shown(recipe: Recipe) -> str:
    """A prompt for the README, "" where the images to make one are not there."""
    try:
        (example, *_) = load_examples(recipe, recipe.data.test_split, limit=1).examples
    except DataError:
        return ""
    return get_task(recipe.task).prompt(example, recipe.style)


def asked_of(recipe: Recipe, examples: Sequence[Example], *, fitted: bool) -> Asked:
    """What is asked of both models. fitted: by images that nobody has to resize.

    llama.cpp resizes in its own way; with images of the right size the files alone are compared.
    """
    task = get_task(recipe.task)
    prompts = [prompt_of(task, example, recipe.style) for example in examples]
    if fitted:
        prompts = [_fitted(prompt, recipe.model) for prompt in prompts]
    lists = [listed(task, example, recipe.options) for example in examples]
    return Asked(prompts, lists, recipe.style, recipe.method.max_new_tokens)


def image_tokens(model: Model) -> tuple[int, int]:
    """Least and most tokens of an image, for llama.cpp, which reads no limits of a processor.

    (-1, -1): those of the architecture, where images are not counted by pixels.
    """
    family = family_of(model)
    if not family.factor:
        return -1, -1
    token = family.factor**2
    most = min(model.max_pixels, family.max_pixels)
    return max(1, min(family.min_pixels, most) // token), max(1, most // token)


def _fitted(prompt: Prompt, model: Model) -> Prompt:
    others = tuple(FittedImage(image, model) for image in prompt.others)
    return replace(prompt, image=FittedImage(prompt.image, model), others=others)
