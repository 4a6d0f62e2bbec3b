"""The courses of `tiny` and `tiny-hangar`: images of one thing each, and its name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rftkit.models.tiny.course import MERGE, PATCH, VALUES, Course, Lesson, Plan
from rftkit.models.tiny.drawing_lessons import SKILLS, Skill, SkillName, corpus, lesson

SIDE = 56  # pixels
PATCHES = (SIDE // PATCH) ** 2
TOKENS = PATCHES // MERGE**2
TRUE_UNTIL = 0.7  # what tells siblings apart must be seen before it is mixed up
VOCABULARY = 1200


@dataclass(frozen=True)
class LabelGallery:
    """Drawn images, ready for the model. pixels: (images, patches, values) float16."""

    skill: Skill
    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.labels)

    def patches(self, chosen: Tensor) -> Tensor:
        """The `pixel_values` of these images: (images x patches, values) float32."""
        return self.pixels[chosen].flatten(0, 1).float()

    def head(self, model: Any, tokenizer: Any) -> nn.Module:
        """Names the label from all tokens of an image at once."""
        width = model.model.visual.config.out_hidden_size * TOKENS
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(self.skill.labels)))

    def eye_loss(self, head: nn.Module, seen: Tensor, chosen: Tensor) -> Tensor:
        """Of naming the label. seen: (images, tokens, width)."""
        return cross_entropy(head(seen.flatten(1)), self.labels[chosen])

    def choose(self, count: int, rng: np.random.Generator, progress: float) -> Tensor:
        """Any of them."""
        return torch.from_numpy(rng.integers(len(self), size=count))

    def lessons(self, chosen: Tensor, rng: np.random.Generator, progress: float) -> list[Lesson]:
        """A question about each of these images."""
        mixed_up = 0.0 if progress < TRUE_UNTIL else self.skill.mixed_up
        shown = [self.skill.labels[int(self.labels[n])] for n in chosen]
        return [lesson(self.skill, label, rng, mixed_up) for label in shown]


def draw_gallery(skill: Skill, processor: Any, plan: Plan) -> LabelGallery:
    """The plan's drawings, the labels in turn, as the model's own image processor sees them."""
    rng, count = np.random.default_rng(plan.seed), plan.drawings
    labels = [number % len(skill.labels) for number in range(count)]
    pixels = torch.empty(count, PATCHES, VALUES, dtype=torch.float16)  # half of 600 MB
    for start in range(0, count, 256):
        batch = [skill.draw(skill.labels[n], rng) for n in labels[start : start + 256]]
        seen = processor.image_processor(batch, return_tensors="pt")["pixel_values"]
        pixels[start : start + 256] = seen.view(-1, PATCHES, VALUES)
    return LabelGallery(skill, pixels, torch.tensor(labels))


def course_of(name: SkillName) -> Course:
    """The course that teaches this skill."""
    skill = SKILLS[name]
    return Course(SIDE, partial(draw_gallery, skill), partial(corpus, skill), VOCABULARY)
