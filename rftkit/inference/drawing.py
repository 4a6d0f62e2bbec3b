"""Answers drawn into an image by PIL: boxes with their names, a line of text below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

# of the labels on one image, in the order of their first boxes; each bears white letters
LABELS = (
    *("#2a62c9", "#b3471b", "#1b7a45", "#8a2f8f", "#8c6a00", "#0f7285", "#b02a4c", "#4b5563"),
)
BASE, TUNED, GOLD = "#6b7280", "#2a62c9", "#1b7a45"  # the same in report, study and app
Corners = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
SMALLEST = 320  # pixels of a longer side: smaller images are enlarged before anything is written
PAD = 8
INSET = 5  # pixels between boxes that are equal


class Look(NamedTuple):
    """How the boxes of one side are drawn: on and off are pixels of a dashed line.

    over: drawn last, without numbers, and what lies under it shows between its dots.
    """

    colour: str
    on: int
    off: int
    words: str
    over: bool = False


def draw(
    image: Image.Image,
    corners: Sequence[Corners],
    look: Look,
    names: Sequence[str] = (),
    taken: list[Corners] | None = None,
) -> None:
    """Draw boxes into an image, each with its name, or else its number. corners: pixels of it.

    taken: where names stand already; a name that would hide one goes below it.
    """
    taken = [] if taken is None else taken
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=14)
    for number, (x1, y1, x2, y2) in enumerate(corners, 1):
        x1, x2 = sorted((_inside(x1, image.width), _inside(x2, image.width)))
        y1, y2 = sorted((_inside(y1, image.height), _inside(y2, image.height)))
        for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)),
                           ((x1, y2), (x2, y2)), ((x1, y1), (x1, y2))):  # fmt: skip
            _line(pen, start, end, look)
        if look.over:
            continue
        text = names[number - 1] if names else str(number)
        left, _, right, bottom = pen.textbbox((0, 0), text, font=font)
        x = min(x1, image.width - right - 6)
        y = max(0.0, y1 - bottom - 4)
        place = (x, y, x + right - left + 6, y + bottom + 3)
        while any(_overlap(place, other) for other in taken):
            y += bottom + 4
            place = (x, y, place[2], y + bottom + 3)
        taken.append(place)
        pen.rectangle(place, fill=look.colour)
        pen.text((x + 3, y), text, fill="white", font=font)


def _line(
    pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], look: Look
) -> None:
    """A line along an axis, on white, so that it shows on any image."""
    if not look.over:
        pen.line((start, end), fill="white", width=5)
    if not look.off:
        pen.line((start, end), fill=look.colour, width=3)
        return
    (x1, y1), (x2, y2) = start, end
    length = abs(x2 - x1) + abs(y2 - y1)
    steps = int(length // (look.on + look.off)) + 1
    for step in range(steps):
        a = step * (look.on + look.off) / length if length else 0.0
        b = min(1.0, a + look.on / length) if length else 0.0
        part = (x1 + (x2 - x1) * a, y1 + (y2 - y1) * a, x1 + (x2 - x1) * b, y1 + (y2 - y1) * b)
        if look.over:
            left, top, right, bottom = part
            pen.rectangle((left - 2, top - 2, right + 2, bottom + 2), fill="white")
        pen.line(part, fill=look.colour, width=3)


def _overlap(one: Corners, other: Corners) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inside(edge: float, length: int) -> float:
    return max(0.0, min(length - 1.0, edge))


def with_boxes(image: Image.Image, boxes: Sequence[Corners], names: Sequence[str]) -> Image.Image:
    """A copy with boxes, each under its name, those of one name in one colour.

    names: a label each, or a label and a number, as in "queen 0.9".
    """
    scale = max(1.0, SMALLEST / max(image.size))
    drawn = image.resize((round(image.width * scale), round(image.height * scale)))
    corners = list[Corners]()
    for place, (x1, y1, x2, y2) in enumerate(boxes):
        inset = INSET * boxes[:place].count(boxes[place])  # of equal boxes each shows
        corners.append(
            (x1 * scale + inset, y1 * scale + inset, x2 * scale - inset, y2 * scale - inset)
        )
    labels = [name.rpartition(" ")[0] if name[-1:].isdigit() else name for name in names]
    taken = list[Corners]()
    for number, label in enumerate(dict.fromkeys(labels)):
        of_it = [place for place, name in enumerate(labels) if name == label]
        look = Look(LABELS[number % len(LABELS)], 1, 0, "")
        draw(drawn, [corners[p] for p in of_it], look, [names[p] for p in of_it], taken)
    return drawn


def with_caption(image: Image.Image, text: str) -> Image.Image:
    """A copy with a line of text under it, cut where it is longer than the image is wide."""
    scale = max(1.0, SMALLEST / max(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    font = ImageFont.load_default(size=max(14, size[1] // 30))
    _, top, _, bottom = font.getbbox("Ag")
    drawn = Image.new("RGB", (size[0], size[1] + round(bottom - top) + 2 * PAD), "white")
    drawn.paste(image.resize(size))
    while text and font.getlength(text) > size[0] - 2 * PAD:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    ImageDraw.Draw(drawn).text((PAD, size[1] + PAD - top), text, fill=TUNED, font=font)
    return drawn
