"""Draws: k examples of each class, base and new halves, the labels that an image is offered."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from rftkit.core import Example
from rftkit.data.splits import SEED
from rftkit.errors import DataError

FEW_SHOT, BASE_TO_NEW = 0.4, 0.8  # CLS-RL: share of the classes that an image is offered
LEAST, MOST = 30, 100  # a list of fewer than LEAST becomes all classes; none is above MOST


class Halves(NamedTuple):
    """The classes of base-to-new generalisation: train on `base`, test on both."""

    base: tuple[str, ...]
    new: tuple[str, ...]


def draw_shots(examples: Iterable[Example], shots: int, seed: int) -> tuple[Example, ...]:
    """`shots` examples of each class, sorted by id; all of them if `shots` is 0.

    The draw depends on ids and seed only, and a smaller draw is part of a larger one.
    Raises DataError if a class has fewer than `shots`.
    """
    queues = _queues(examples, seed)
    smallest = min(queues, key=lambda label: len(queues[label]), default=None)
    if smallest is not None and len(queues[smallest]) < shots:
        of = f"class {smallest!r} has" if smallest else "there are"
        raise DataError(
            f"data.shots: {shots}, but {of} {len(queues[smallest])} training images; "
            "lower data.shots or add images"
        )
    drawn = [example for queue in queues.values() for example in queue[: shots or None]]
    return tuple(sorted(drawn, key=lambda example: example.id))


def unused_notes(shots: int, images: Sequence[int]) -> list[str]:
    """A note on training images that are left out. images: used, and there."""
    used, there = images
    if used == there:
        return []
    return [f"{used} of {there} training images are used (data.shots = {shots}); 0 uses all"]


def spread(examples: Sequence[Example], limit: int) -> tuple[Example, ...]:
    """At most `limit` examples, as evenly by class as they allow, in their order; 0: all.

    The seed is fixed, so that every run is measured on the same ones, and a smaller limit takes
    part of what a larger one takes. A limit below the number of classes leaves some out.
    """
    if not limit or limit >= len(examples):
        return tuple(examples)
    queues = _queues(examples, SEED)
    order = sorted(queues)
    random.Random(SEED).shuffle(order)
    rounds = range(max(len(queue) for queue in queues.values()))
    turns = [
        queues[label][turn].id for turn in rounds for label in order if turn < len(queues[label])
    ]
    chosen = set(turns[:limit])
    return tuple(example for example in examples if example.id in chosen)


def spread_images(examples: Sequence[Example], limit: int) -> tuple[Example, ...]:
    """All examples of at most `limit` images, in their order; 0: all.

    As in `spread` the seed is fixed, and a smaller limit takes part of what a larger one takes.
    """
    names = sorted({example.image.name for example in examples})
    if not limit or limit >= len(names):
        return tuple(examples)
    random.Random(SEED).shuffle(names)
    chosen = {*names[:limit]}
    return tuple(example for example in examples if example.image.name in chosen)


def base_new(labels: Iterable[str], ids: Mapping[str, int] | None = None) -> Halves:
    """The first half of the sorted labels, rounded up, and the rest.

    ids: sorts by these instead of by name, as CoOp does with the label ids of its split files.

    >>> base_new(["c", "a", "b"])
    Halves(base=('a', 'b'), new=('c',))
    """
    order = sorted(labels, key=lambda label: (ids[label] if ids else 0, label))
    half = (len(order) + 1) // 2
    return Halves(tuple(order[:half]), tuple(order[half:]))


def offered(
    labels: tuple[str, ...],
    example: Example,
    rule: Literal["all", "paper", "none"],
    seed: int,
    share: float = FEW_SHOT,
) -> tuple[str, ...]:
    """The labels in the prompt: all, in their order; CLS-RL's random list, shuffled; or none.

    The random list holds the truth and depends on the seed and the example's id only, so that
    training and evaluation offer the same. Its length is `share` of the labels, rounded down; all
    of them if that gives fewer than LEAST; at most MOST.

    Source: CLS-RL's `few-shot-data.ipynb`.
    """
    if rule != "paper":
        return labels if rule == "all" else ()
    length = int(len(labels) * share)
    length = min(MOST, length if length >= LEAST else len(labels))
    rng = random.Random(f"{seed}:{example.id}")
    others = [name for name in labels if name != example.gold]
    chosen = [example.gold, *rng.sample(others, min(length - 1, len(others)))]
    rng.shuffle(chosen)
    return tuple(chosen)


def _queues(examples: Iterable[Example], seed: int) -> dict[str, list[Example]]:
    """The examples of each class in the order in which they are drawn."""
    queues: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda example: example.id):
        queues.setdefault(example.category, []).append(example)
    for label, queue in queues.items():
        random.Random(f"{seed}:{label}").shuffle(queue)
    return queues
