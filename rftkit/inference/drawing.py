"""Answers drawn into an image by PIL: boxes with their names, a line of text below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

BASE, TUNED, GOLD = "#6b7280", "#2a62c9", "#1b7a45"  # the same in report, study and app
Corners = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
SMALLEST = 320  # pixels of a longer side: smaller images are enlarged before anything is written
PAD = 8


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
    image: Image.Image, corners: Sequence[Corners], look: Look, names: Sequence[str] = ()
) -> None:
    """Draw boxes into an image, each with its name, or else its number. corners: pixels of it."""
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
        pen.rectangle((x, y, x + right - left + 6, y + bottom + 3), fill=look.colour)
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


def _inside(edge: float, length: int) -> float:
    return max(0.0, min(length - 1.0, edge))


def with_boxes(image: Image.Image, boxes: Sequence[Corners], names: Sequence[str]) -> Image.Image:
    """A copy with boxes in the colour of the fine-tuned model, each under its name."""
    scale = max(1.0, SMALLEST / max(image.size))
    drawn = image.resize((round(image.width * scale), round(image.height * scale)))
    corners = [(x1 * scale, y1 * scale, x2 * scale, y2 * scale) for x1, y1, x2, y2 in boxes]
    draw(drawn, corners, Look(TUNED, 1, 0, ""), names=names)
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
