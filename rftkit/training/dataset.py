"""The order in which examples are seen: computed once, flat, so that a resumed run continues it.

Trainers that reshuffle at every epoch replay the wrong order after a resume, and a few-shot run is
many tiny epochs. Here the whole run is one epoch over a list of indices.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rftkit.core import Example

if TYPE_CHECKING:
    from PIL.Image import Image

REMEMBERED = 256  # decoded images kept: a few-shot run decodes each of its images once


def schedule(examples: int, draws: int, seed: int) -> list[int]:
    """`draws` indices below `examples`: one seeded shuffle after another, cut at the end."""
    generator = random.Random(seed)
    order: list[int] = []
    while len(order) < draws:
        order += generator.sample(range(examples), examples)
    return order[:draws]


def lazy_dataset(
    examples: Sequence[Example], order: Sequence[int], columns: Callable[[Example], dict[str, Any]]
) -> Any:
    """A `datasets.Dataset` of that order whose images are opened when a row is read.

    Rows have `index` (into `examples`), `images`, and what `columns` gives.
    """
    from datasets import Dataset

    @lru_cache(maxsize=REMEMBERED)
    def images(index: int) -> list[Image]:
        return [image.open() for image in examples[index].images]

    def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        chosen = [{"index": i, "images": images(i), **columns(examples[i])} for i in batch["index"]]
        return {name: [row[name] for row in chosen] for name in chosen[0]}

    return Dataset.from_dict({"index": list(order)}).with_transform(rows)
