"""The course of `tiny-scenes`: images of printed digits, several in each, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rftkit.data.synthetic import digits
from rftkit.data.synthetic.scene_questions import Kind
from rftkit.data.synthetic.scenes import (
    MOST,
    SIDE,
    UNITS,
    Thing,
    compose,
    cropped,
    draw_labels,
    place_all,
)
from rftkit.models.tiny.course import MERGE, PATCH, Course, Lesson, Plan
from rftkit.models.tiny.scene_lessons import PHRASES, any_kind, corpus, lesson
from rftkit.models.tiny.tokenizer import token_ids

GLYPHS = 600  # drawings of each digit, from which the scenes are put together
ACROSS = SIDE // PATCH  # patches along a side
CELLS = ACROSS // MERGE  # tokens along a side
EMPTY = len(digits.DIGITS)  # the class of a cell in which no digit has its middle
EDGES = 4
VOCABULARY = 600
EYES_REST = 0.85
STAGES = ((0.15, 1), (0.3, 2))  # until that share of the lessons, at most so many digits
PLAN = Plan(drawings=12000, eye_steps=600, eye_batch=64, word_steps=2600, word_batch=32)

Teach = Callable[[Sequence[Thing], np.random.Generator, float], Lesson]


@dataclass(frozen=True)
class SceneGallery:
    """Scenes and what is in them. mean, std: of three colours.

    teach(what is in a scene, rng, share of the lessons had): a lesson about it.
    grey: (images, SIDE, SIDE) uint8, sorted by the number of digits.
    For each cell, row by row, `classes` (images, cells) holds the digit whose middle it has or
    EMPTY, and `edges` (images, cells, 4) that digit's box in units.
    """

    teach: Teach
    grey: Tensor
    things: Sequence[Sequence[Thing]]
    classes: Tensor
    edges: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.things)

    def patches(self, chosen: Tensor) -> Tensor:
        """What the image processor makes of these images, without keeping 150 kB of each.

        Returns (images x patches, values) float32; the patches of one token lie side by side.
        """
        light = self.grey[chosen].float()[:, None] / 255
        seen = (light - self.mean[:, None, None]) / self.std[:, None, None]
        cut = seen.view(len(chosen), 3, CELLS, MERGE, PATCH, CELLS, MERGE, PATCH)
        ordered = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # cell, patch of the cell, colour, pixel
        twice = ordered.unsqueeze(6).expand(*ordered.shape[:6], 2, PATCH, PATCH)
        return twice.reshape(len(chosen) * ACROSS**2, -1)

    def head(self, model: Any, tokenizer: Any) -> SceneHead:
        """Tells from each token its cell's class and the edges of its digit."""
        words = [str(unit) for unit in range(UNITS + 1)]
        return SceneHead(model.get_input_embeddings().weight, token_ids(tokenizer, words))

    def eye_loss(self, head: nn.Module, seen: Tensor, chosen: Tensor) -> Tensor:
        """Of telling what has its middle where, and its box. seen: (images, tokens, width)."""
        named, boxed = head(seen)
        classes, edges = self.classes[chosen], self.edges[chosen]
        there = classes != EMPTY
        named_loss = cross_entropy(named.flatten(0, 1), classes.flatten())
        return named_loss + cross_entropy(boxed[there].flatten(0, 1), edges[there].flatten()) / 2

    def choose(self, count: int, rng: np.random.Generator, progress: float) -> Tensor:
        """Scenes of one digit at first, then of two, then any: they lie in this order."""
        most = next((most for until, most in STAGES if progress < until), MOST)
        eligible = sum(len(things) <= most for things in self.things)
        return torch.from_numpy(rng.integers(eligible, size=count))

    def lessons(self, chosen: Tensor, rng: np.random.Generator, progress: float) -> list[Lesson]:
        """A question about each of these images."""
        return [self.teach(self.things[int(n)], rng, progress) for n in chosen]


class SceneHead(nn.Module):
    """Names what a token shows by the very embeddings of the words for it.

    What the eyes see is so spoken of in the model's own vectors before it has heard a sentence.
    """

    def __init__(self, words: nn.Parameter, units: list[int]) -> None:
        super().__init__()
        width = words.shape[1]
        self.words, self.units = words, torch.tensor(units)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.edges = nn.Linear(width, EDGES * width)
        self.empty = nn.Parameter(torch.randn(1, width) / 50)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of classes (…, EMPTY + 1) and of edges (…, 4, UNITS + 1), for seen (…, width)."""
        seen, numbers = self.norm(seen), self.words[self.units]
        named = seen @ torch.cat([numbers[:EMPTY], self.empty]).T
        return named, self.edges(seen).unflatten(-1, (EDGES, -1)) @ numbers.T


def draw_scenes(teach: Teach, processor: Any, plan: Plan) -> SceneGallery:
    """The plan's scenes, printed digits only, those with few digits first."""
    rng, images = np.random.default_rng(plan.seed), processor.image_processor
    glyphs = {
        label: [cropped(digits.digit_ink(label, rng)) for _ in range(GLYPHS)]
        for label in digits.DIGITS
    }
    grey = torch.empty(plan.drawings, SIDE, SIDE, dtype=torch.uint8)
    things = []
    drawn_labels = [draw_labels(digits.DIGITS, rng) for _ in range(plan.drawings)]
    for n, labels in enumerate(sorted(drawn_labels, key=len)):
        inks = [glyphs[label][int(rng.integers(GLYPHS))] for label in labels]
        places = place_all(inks, rng)
        grey[n] = torch.from_numpy(np.array(compose(places, inks, rng).convert("L")))
        things.append([Thing(*pair) for pair in zip(labels, places, strict=True)])
    mean, std = torch.tensor(images.image_mean), torch.tensor(images.image_std)
    return SceneGallery(teach, grey, things, *_cells(things), mean, std)


def _cells(scenes: Sequence[Sequence[Thing]]) -> tuple[Tensor, Tensor]:
    """`classes` and `edges` of a gallery. Of two digits in one cell the later one counts."""
    classes = torch.full((len(scenes), CELLS**2), EMPTY)
    edges = torch.zeros(len(scenes), CELLS**2, EDGES, dtype=torch.long)
    units = UNITS // CELLS
    for n, things in enumerate(scenes):
        for label, place in things:
            row, column = (place.y1 + place.y2) // 2 // units, (place.x1 + place.x2) // 2 // units
            classes[n, row * CELLS + column] = int(label)
            edges[n, row * CELLS + column] = torch.tensor(place)
    return classes, edges


def course_of(shares: Mapping[Kind, float]) -> Course:
    """The course that teaches these kinds of tasks, each by its share of the lessons."""
    return Course(
        SIDE,
        partial(draw_scenes, partial(_any_lesson, shares)),
        corpus,
        VOCABULARY,
        PHRASES,
        PLAN,
        eyes_rest=EYES_REST,
        seconds=400,
    )


def _any_lesson(
    shares: Mapping[Kind, float], things: Sequence[Thing], rng: np.random.Generator, _: float
) -> Lesson:
    return lesson(any_kind(shares, rng), things, rng)
