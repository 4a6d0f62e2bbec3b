"""Images that are there twice: in training and test, or under two labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL.Image import Resampling

from rftkit.core import Example

if TYPE_CHECKING:
    from PIL.Image import Image


SIDE = 16  # a fingerprint is SIDE × SIDE comparisons of neighbours: 256 bits
NEAR_BITS = 14  # at most so many differ between two versions of one image
FLAT_BITS = 24  # fewer bits set, or cleared: too little texture to compare by
SMALL = 128  # side of the grey copy that both are made from
THUMB = 32  # side of the thumbnail by which two images with like bits are compared again
ALIKE = 0.98  # correlation of two thumbnails: copies in another size, quality or brightness pass,
# two small scans of one digit, which hash alike for want of detail, do not
NEARLY = 20_000  # images of a list that are compared with all of another; exact copies: all
CHUNK = 256  # images compared with all others at once


@dataclass(frozen=True)
class Print:
    """What is kept of an image that was opened once.

    digest: of its pixels. bits: its dHash, (4,) uint64, None for an image without texture.
    thumbnail: (THUMB²,) float16, grey, of mean 0 and norm 1. note: what opening it said, such as
    an animation; "" if nothing.
    """

    example: Example = field(repr=False)
    size: tuple[int, int]
    digest: str
    bits: np.ndarray | None = field(repr=False, compare=False)
    thumbnail: np.ndarray = field(repr=False, compare=False)
    note: str = ""


class Pair(NamedTuple):
    """Two examples that show the same; `exact` if to the pixel."""

    first: Example
    second: Example
    exact: bool


def fingerprint(example: Example) -> Print:
    """The print of an example's image. Raises DataError if it cannot be opened."""
    import imagehash

    image = example.image.open()
    digest = sha256(repr(image.size).encode())
    digest.update(image.tobytes())
    small = image.convert("L")
    if max(small.size) > SMALL:
        size = (min(SMALL, small.width), min(SMALL, small.height))
        small = small.resize(size, Resampling.BOX)
    bits = imagehash.dhash(small, hash_size=SIDE).hash
    flat = not FLAT_BITS <= int(bits.sum()) <= bits.size - FLAT_BITS
    words = None if flat else np.packbits(bits).view(np.uint64)
    note = str(image.info.get("note", ""))
    return Print(example, image.size, digest.hexdigest(), words, _thumbnail(small), note)


def one_each(examples: Iterable[Example]) -> list[Example]:
    """The first example of each image: several may ask about one."""
    by_image: dict[str, Example] = {}
    for example in examples:
        by_image.setdefault(example.image.name, example)
    return [*by_image.values()]


def overlap(first: Sequence[Print], second: Sequence[Print]) -> tuple[Pair, ...]:
    """The pairs, one from each list, that show the same image, exact ones first."""
    by_digest: dict[str, list[Print]] = {}
    for mark in second:
        by_digest.setdefault(mark.digest, []).append(mark)
    exact = [
        Pair(mark.example, twin.example, True)
        for mark in first
        for twin in by_digest.get(mark.digest, ())
    ]
    near = [
        Pair(mark.example, twin.example, False)
        for mark, twin in _near(first, second)
        if mark.digest != twin.digest and _alike(mark, twin)
    ]
    return (*exact, *near)


def near_copies(prints: Sequence[Print]) -> tuple[Pair, ...]:
    """The pairs within one list that look the same and are not the same to the pixel."""
    return tuple(
        Pair(mark.example, twin.example, False)
        for mark, twin in _near(prints, prints)
        if mark.example.id < twin.example.id and mark.digest != twin.digest and _alike(mark, twin)
    )


def two_labels(prints: Iterable[Print]) -> tuple[Pair, ...]:
    """The pairs that are the same to the pixel but labelled differently."""
    seen: dict[str, Print] = {}
    return tuple(
        Pair(before.example, mark.example, True)
        for mark in prints
        if (before := seen.setdefault(mark.digest, mark)).example.gold != mark.example.gold
    )


def _alike(mark: Print, twin: Print) -> bool:
    """Whether the thumbnails of two images with like bits correlate."""
    first, second = (one.thumbnail.astype(np.float32) for one in (mark, twin))
    return float(first @ second) >= ALIKE


def _thumbnail(image: Image) -> np.ndarray:
    grey: np.ndarray = np.array(image.convert("L").resize((THUMB, THUMB)), np.float32).ravel()
    grey -= grey.mean()
    grey /= max(float(np.linalg.norm(grey)), 1e-6)
    return grey.astype(np.float16)


def _near(first: Sequence[Print], second: Sequence[Print]) -> Iterator[tuple[Print, Print]]:
    left = [mark for mark in first if mark.bits is not None][:NEARLY]
    right = [mark for mark in second if mark.bits is not None][:NEARLY]
    if not left or not right:
        return
    others = np.stack([mark.bits for mark in right if mark.bits is not None])
    for start in range(0, len(left), CHUNK):
        rows = np.stack([m.bits for m in left[start : start + CHUNK] if m.bits is not None])
        differ = np.bitwise_count(rows[:, None] ^ others[None]).sum(axis=-1, dtype=np.int64)
        for row, column in np.argwhere(differ <= NEAR_BITS):
            yield left[start + int(row)], right[int(column)]
