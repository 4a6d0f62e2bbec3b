"""Which samples a report shows, with their pictures small enough to sit in the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rftkit.samples import Sample

if TYPE_CHECKING:
    from PIL.Image import Image

OpenPicture = Callable[[str], "Image | None"]

EDGE = 192  # pixels of a thumbnail's longer side
SMALL = 64  # at most this many pixels: kept lossless and shown with crisp ones
EACH = 6  # examples per group


class Thumbnail(NamedTuple):
    """A picture as a data URI. small: scale it up without blurring."""

    uri: str
    small: bool


class Shown(NamedTuple):
    """One example of the page: what either side wrote about one picture."""

    id: str
    gold: str
    picture: str
    thumbnail: Thumbnail | None
    prompt: str
    replies: tuple[Sample, ...]


class Group(NamedTuple):
    """Examples of one kind, and how many of that kind there are in all."""

    title: str
    total: int
    examples: tuple[Shown, ...]


def groups(samples: Sequence[Sample], prompt: str, open_picture: OpenPicture) -> list[Group]:
    """Fixed, broken and still wrong with both sides; wrong and right with one. Empty ones go.

    prompt: what samples without a prompt of their own were asked.
    """
    sides: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: (sample.side, sample.id)):
        sides.setdefault(sample.id, []).append(sample)
    two = any(len(pair) == 2 for pair in sides.values())
    found: dict[str, list[list[Sample]]] = {kind: [] for kind in _kinds(two)}
    for pair in sides.values():
        if len(pair) == 2 or not two:
            found[_kind(pair)].append(pair)
    return [
        Group(kind, len(pairs), tuple(_shown(p, prompt, open_picture) for p in _varied(pairs)))
        for kind, pairs in found.items()
        if pairs and kind != "right before and after"
    ]


def thumbnail(picture: Image) -> Thumbnail:
    """The picture within EDGE × EDGE: PNG if it is small, else JPEG."""
    small = picture.convert("RGB")
    small.thumbnail((EDGE, EDGE))
    tiny = max(picture.size) <= SMALL
    out = io.BytesIO()
    small.save(out, format="PNG" if tiny else "JPEG", **({} if tiny else {"quality": 82}))
    kind = "png" if tiny else "jpeg"
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}", tiny)


def _kinds(two: bool) -> tuple[str, ...]:
    both = ("Fixed by training", "Broken by training", "Wrong before and after")
    return (*both, "right before and after") if two else ("Wrong", "Right")


def _kind(pair: Sequence[Sample]) -> str:
    right = [sample.correct == 1 for sample in pair]
    if len(pair) == 1:
        return "Right" if right[0] else "Wrong"
    before, after = right
    if before:
        return "right before and after" if after else "Broken by training"
    return "Fixed by training" if after else "Wrong before and after"


def _varied(pairs: Iterable[list[Sample]]) -> list[list[Sample]]:
    """EACH of them, in turns from every class, so that one class does not fill the page."""
    seen: dict[str, int] = {}
    turns = []
    for pair in pairs:
        turn = seen[pair[0].gold] = seen.get(pair[0].gold, -1) + 1
        turns.append((turn, pair))
    return [pair for _, pair in sorted(turns, key=lambda item: item[0])[:EACH]]


def _shown(pair: list[Sample], prompt: str, open_picture: OpenPicture) -> Shown:
    first = pair[0]
    picture = open_picture(first.id)
    return Shown(
        id=first.id,
        gold=first.gold,
        picture=first.picture,
        thumbnail=thumbnail(picture) if picture else None,
        prompt=prompt if first.prompt is None else first.prompt,
        replies=tuple(pair),
    )
