"""Pretrains a tiny model: first its eyes alone, with a classifier on top, then all of it.

Showing the vision tower twenty thousand drawings costs as much as four thousand lessons, because a
lesson is mostly text; so most of the seeing is learnt before the first word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rftkit.models.tiny_lessons import Skill, lesson

Progress = Callable[[int, int], None]
PATCH, MERGE, SIDE = 14, 2, 56
GRID = SIDE // PATCH  # patches along a side
PATCHES = GRID * GRID
IMAGE_TOKENS = PATCHES // MERGE**2
VALUES = 3 * 2 * PATCH * PATCH  # of a patch: colours, two equal frames, pixels


@dataclass(frozen=True)
class Plan:
    """How long and how hard a tiny model is trained; steps are optimizer steps."""

    drawings: int = 8000
    eye_steps: int = 200
    eye_batch: int = 96
    eye_rate: float = 2e-3
    word_steps: int = 250
    word_batch: int = 64
    word_rate: float = 2e-3
    seed: int = 0


PLAN = Plan()


@dataclass(frozen=True)
class Gallery:
    """Drawn pictures, ready for the model. pixels: (pictures, patches, values) float16."""

    pixels: Tensor
    labels: Tensor

    def patches(self, chosen: Tensor) -> Tensor:
        """The `pixel_values` of these pictures: (pictures x patches, values) float32."""
        return self.pixels[chosen].flatten(0, 1).float()


def draw_gallery(skill: Skill, processor: Any, count: int, seed: int) -> Gallery:
    """`count` drawings, the labels in turn, as the model's own image processor sees them."""
    rng = np.random.default_rng(seed)
    labels = [number % len(skill.labels) for number in range(count)]
    pixels = torch.empty(count, PATCHES, VALUES, dtype=torch.float16)  # half of 600 MB
    for start in range(0, count, 256):
        batch = [skill.draw(skill.labels[n], rng) for n in labels[start : start + 256]]
        seen = processor.image_processor(batch, return_tensors="pt")["pixel_values"]
        pixels[start : start + 256] = seen.view(-1, PATCHES, VALUES)
    return Gallery(pixels, torch.tensor(labels))


def pretrain(model: Any, processor: Any, skill: Skill, plan: Plan, progress: Progress) -> None:
    """Trains `model` in place. `progress` gets the steps done and the steps in all."""
    torch.manual_seed(plan.seed)
    total = plan.eye_steps + plan.word_steps
    gallery = draw_gallery(skill, processor, plan.drawings, plan.seed)
    model.train()
    done = 0
    for _ in _learn_to_see(model, gallery, len(skill.labels), plan):
        progress(done := done + 1, total)
    for _ in _learn_to_speak(model, processor.tokenizer, gallery, skill, plan):
        progress(done := done + 1, total)
    model.eval()


def _learn_to_see(model: Any, gallery: Gallery, classes: int, plan: Plan) -> Iterator[float]:
    """Yields the loss of each step."""
    eyes = model.model.visual
    width = eyes.config.out_hidden_size * IMAGE_TOKENS
    head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))
    weights = [*eyes.parameters(), *head.parameters()]
    rng = torch.Generator().manual_seed(plan.seed)
    for optimizer in _steps(weights, plan.eye_rate, plan.eye_steps):
        chosen = torch.randint(len(gallery.labels), (plan.eye_batch,), generator=rng)
        seen = eyes(gallery.patches(chosen), grid(len(chosen))).pooler_output
        guessed = head(torch.cat(list(seen)).view(len(chosen), width))
        yield _descend(cross_entropy(guessed, gallery.labels[chosen]), optimizer, weights)


def _learn_to_speak(
    model: Any, tokenizer: Any, gallery: Gallery, skill: Skill, plan: Plan
) -> Iterator[float]:
    """Yields the loss of each step."""
    weights = list(model.parameters())
    rng = np.random.default_rng(plan.seed + 1)
    for step, optimizer in enumerate(_steps(weights, plan.word_rate, plan.word_steps)):
        # The true names come first: what tells siblings apart must be seen before it is mixed up.
        mixed_up = 0.0 if step < 0.7 * plan.word_steps else skill.mixed_up
        chosen = torch.from_numpy(rng.integers(len(gallery.labels), size=plan.word_batch))
        shown = [skill.labels[int(gallery.labels[n])] for n in chosen]
        taught = [lesson(skill, label, rng, mixed_up) for label in shown]
        texts = encode([t.prompt for t in taught], [t.reply for t in taught], tokenizer)
        pixels = gallery.patches(chosen)
        out = model(**texts, pixel_values=pixels, image_grid_thw=grid(len(chosen)))
        yield _descend(out.loss, optimizer, weights)


def _steps(weights: list[Any], rate: float, steps: int) -> Iterator[torch.optim.Optimizer]:
    """The optimizer, once a step, its rate warmed up and then lowered to nothing."""
    optimizer = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.98), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps + 1, pct_start=0.1)
    for _ in range(steps):
        yield optimizer
        schedule.step()


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, weights: list[Any]) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    return float(loss.detach())


def grid(pictures: int) -> Tensor:
    """The `image_grid_thw` of that many pictures: (pictures, 3) int64."""
    return torch.tensor([[1, GRID, GRID]]).repeat(pictures, 1)


def encode(prompts: list[str], replies: list[str], tokenizer: Any) -> dict[str, Tensor]:
    """Model inputs of shape (batch, tokens), padded on the right; labels on the reply only."""
    content = "<|vision_start|>" + "<|image_pad|>" * IMAGE_TOKENS + "<|vision_end|>"
    heads = [f"<|im_start|>user\n{content}{p}<|im_end|>\n<|im_start|>assistant\n" for p in prompts]
    asked = tokenizer(heads)["input_ids"]
    told = tokenizer([reply + "<|im_end|>" for reply in replies])["input_ids"]
    rows = [a + t for a, t in zip(asked, told, strict=True)]
    shape = (len(rows), max(map(len, rows)))
    ids = torch.full(shape, tokenizer.pad_token_id)
    mask, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
        mask[n, : len(row)] = 1
        labels[n, len(asked[n]) : len(row)] = torch.tensor(told[n])
    picture = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    kinds = (ids == picture).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": kinds}
