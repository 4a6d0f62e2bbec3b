"""The course of `tiny-scenes`: pictures of printed digits, several in each, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rftkit.data import drawn, layout
from rftkit.data.layout import SIDE, UNITS, Thing
from rftkit.models.tiny_course import MERGE, PATCH, Course, Lesson, Plan
from rftkit.models.tiny_scene_lessons import PHRASES, any_kind, corpus, lesson

GLYPHS = 600  # drawings of each digit, from which the scenes are put together
ACROSS = SIDE // PATCH  # patches along a side
CELLS = ACROSS // MERGE  # tokens along a side
EMPTY = len(drawn.DIGITS)  # the class of a cell in which no digit has its middle
EDGES = 4
VOCABULARY = 600
PLAN = Plan(
    drawings=12000, eye_steps=600, eye_batch=64, word_steps=600, word_batch=64, word_rate=1.5e-3
)


@dataclass(frozen=True)
class SceneGallery:
    """Scenes and what is in them. grey: (pictures, SIDE, SIDE) uint8; mean, std: of three colours.

    For each cell, row by row, `classes` (pictures, cells) holds the digit whose middle it has or
    EMPTY, and `edges` (pictures, cells, 4) that digit's box in units.
    """

    grey: Tensor
    things: Sequence[Sequence[Thing]]
    classes: Tensor
    edges: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.things)

    def patches(self, chosen: Tensor) -> Tensor:
        """What the image processor makes of these pictures, without keeping 150 kB of each.

        Returns (pictures x patches, values) float32; the patches of one token lie side by side.
        """
        light = self.grey[chosen].float()[:, None] / 255
        seen = (light - self.mean[:, None, None]) / self.std[:, None, None]
        cut = seen.view(len(chosen), 3, CELLS, MERGE, PATCH, CELLS, MERGE, PATCH)
        ordered = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # cell, patch of the cell, colour, pixel
        twice = ordered.unsqueeze(6).expand(*ordered.shape[:6], 2, PATCH, PATCH)
        return twice.reshape(len(chosen) * ACROSS**2, -1)

    def head(self, width: int) -> nn.Module:
        """Tells from each token its cell's class and the edges of its digit."""
        outputs = EMPTY + 1 + EDGES * (UNITS + 1)
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def eye_loss(self, head: nn.Module, seen: Tensor, chosen: Tensor) -> Tensor:
        """Of telling what has its middle where, and its box. seen: (pictures, tokens, width)."""
        guessed, classes = head(seen), self.classes[chosen]
        there = classes != EMPTY
        named, edges = guessed[..., : EMPTY + 1], guessed[there][:, EMPTY + 1 :]
        boxed = cross_entropy(edges.reshape(-1, UNITS + 1), self.edges[chosen][there].flatten())
        return cross_entropy(named.flatten(0, 1), classes.flatten()) + boxed / 2

    def lessons(self, chosen: Tensor, rng: np.random.Generator, progress: float) -> list[Lesson]:
        """A question of any kind about each of these pictures."""
        return [lesson(any_kind(rng), self.things[int(n)], rng) for n in chosen]


def draw_scenes(processor: Any, plan: Plan) -> SceneGallery:
    """The plan's scenes, printed digits only."""
    rng, images = np.random.default_rng(plan.seed), processor.image_processor
    glyphs = {
        label: [layout.cropped(drawn.digit_ink(label, rng)) for _ in range(GLYPHS)]
        for label in drawn.DIGITS
    }
    grey = torch.empty(plan.drawings, SIDE, SIDE, dtype=torch.uint8)
    things = []
    for n in range(plan.drawings):
        labels = layout.draw_labels(drawn.DIGITS, rng)
        inks = [glyphs[label][int(rng.integers(GLYPHS))] for label in labels]
        places = layout.place_all(inks, rng)
        grey[n] = torch.from_numpy(np.array(layout.compose(places, inks, rng).convert("L")))
        things.append([Thing(*pair) for pair in zip(labels, places, strict=True)])
    mean, std = torch.tensor(images.image_mean), torch.tensor(images.image_std)
    return SceneGallery(grey, things, *_cells(things), mean, std)


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


COURSE = Course(SIDE, draw_scenes, corpus, VOCABULARY, PHRASES, PLAN)
