"""Pretrains a tiny model: first its eyes alone, with a task of their own, then all of it.

Showing the vision tower twenty thousand drawings costs as much as four thousand lessons, because a
lesson is mostly text; so most of the seeing is learnt before the first word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from rftkit.models.tiny.course import Course, Gallery, Plan

Progress = Callable[[int, int], None]
SEEN_AT_ONCE = 64  # images


def pretrain(model: Any, processor: Any, course: Course, plan: Plan, progress: Progress) -> None:
    """Trains `model` in place. `progress` gets the steps done and the steps in all."""
    torch.manual_seed(plan.seed)
    total = plan.eye_steps + course.reading_steps + plan.word_steps
    gallery = course.gallery(processor, plan)
    model.train()
    done = 0
    for _ in _learn_to_see(model, processor.tokenizer, gallery, course, plan):
        progress(done := done + 1, total)
    for _ in _learn_to_read(model, processor.tokenizer, course, plan):
        progress(done := done + 1, total)
    for _ in _learn_to_speak(model, processor.tokenizer, gallery, course, plan):
        progress(done := done + 1, total)
    model.eval()


def _learn_to_see(
    model: Any, tokenizer: Any, gallery: Gallery, course: Course, plan: Plan
) -> Iterator[float]:
    """Yields the loss of each step."""
    eyes = model.model.visual
    head = gallery.head(model, tokenizer)
    weights = [*eyes.parameters(), *head.parameters()]
    rng = torch.Generator().manual_seed(plan.seed)
    for optimizer in _steps(weights, plan.eye_rate, plan.eye_steps):
        chosen = torch.randint(len(gallery), (plan.eye_batch,), generator=rng)
        tokens = _look(eyes, gallery, course, chosen)
        yield _descend(gallery.eye_loss(head, tokens, chosen), optimizer, weights)


def _learn_to_read(model: Any, tokenizer: Any, course: Course, plan: Plan) -> Iterator[float]:
    """Yields the loss of each step. There are no images: what text tells is found faster so."""
    weights, rng = list(model.parameters()), np.random.default_rng(plan.seed + 2)
    for optimizer in _steps(weights, plan.word_rate, course.reading_steps):
        assert course.reading is not None
        taught = [course.reading(rng) for _ in range(plan.word_batch)]
        out = model(**encode([t.prompt for t in taught], [t.reply for t in taught], tokenizer, 0))
        yield _descend(out.loss, optimizer, weights)


def _learn_to_speak(
    model: Any, tokenizer: Any, gallery: Gallery, course: Course, plan: Plan
) -> Iterator[float]:
    """Yields the loss of each step."""
    weights, eyes = list(model.parameters()), model.model.visual
    rng = np.random.default_rng(plan.seed + 1)
    seen = _look_at_all(eyes, gallery, course) if course.eyes_rest else None
    for step, optimizer in enumerate(_steps(weights, plan.word_rate, plan.word_steps)):
        progress = step / plan.word_steps
        chosen = gallery.choose(plan.word_batch, rng, progress)
        taught = gallery.lessons(chosen, rng, progress)
        prompts, replies = [t.prompt for t in taught], [t.reply for t in taught]
        texts = encode(prompts, replies, tokenizer, course.tokens)
        if seen is not None and progress < course.eyes_rest:
            model.model.visual = Recalled(eyes)
            pixels = seen[chosen].flatten(0, 1)
        else:
            model.model.visual = eyes
            pixels = gallery.patches(chosen)
        out = model(**texts, pixel_values=pixels, image_grid_thw=grid(len(chosen), course))
        yield _descend(out.loss, optimizer, weights)
    model.model.visual = eyes


class Recalled(nn.Module):
    """Stands in for eyes that rest: is given what they saw instead of patches, and returns it."""

    def __init__(self, eyes: Any) -> None:
        super().__init__()
        self.spatial_merge_size, self.dtype = eyes.spatial_merge_size, eyes.dtype

    def forward(self, seen: Tensor, grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """seen: (images x tokens, width)."""
        return BaseModelOutputWithPooling(pooler_output=seen)


def _look(eyes: Any, gallery: Gallery, course: Course, chosen: Tensor) -> Tensor:
    """What the eyes make of these images: (images, tokens, width)."""
    seen = eyes(gallery.patches(chosen), grid(len(chosen), course)).pooler_output
    return torch.cat(list(seen)).view(len(chosen), course.tokens, -1)


@torch.no_grad()
def _look_at_all(eyes: Any, gallery: Gallery, course: Course) -> Tensor:
    """The same for all images."""
    parts = torch.arange(len(gallery)).split(SEEN_AT_ONCE)  # type: ignore[no-untyped-call]
    return torch.cat([_look(eyes, gallery, course, part) for part in parts])


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


def grid(images: int, course: Course) -> Tensor:
    """The `image_grid_thw` of that many images: (images, 3) int64."""
    return torch.tensor([[1, course.patches, course.patches]]).repeat(images, 1)


def encode(
    prompts: list[str], replies: list[str], tokenizer: Any, image_tokens: int
) -> dict[str, Tensor]:
    """Model inputs of shape (batch, tokens), padded on the right; labels on the reply only.

    image_tokens: of the image before each prompt; 0 if there is none.
    """
    shown = "<|vision_start|>" + "<|image_pad|>" * image_tokens + "<|vision_end|>"
    content = shown if image_tokens else ""
    heads = [f"<|im_start|>user\n{content}{p}<|im_end|>\n<|im_start|>assistant\n" for p in prompts]
    asked = tokenizer(heads)["input_ids"]
    reply_ids = tokenizer([reply + "<|im_end|>" for reply in replies])["input_ids"]
    rows = [a + t for a, t in zip(asked, reply_ids, strict=True)]
    shape = (len(rows), max(map(len, rows)))
    ids = torch.full(shape, tokenizer.pad_token_id)
    mask, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
        mask[n, : len(row)] = 1
        labels[n, len(asked[n]) : len(row)] = torch.tensor(reply_ids[n])
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    kinds = (ids == image).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": kinds}
