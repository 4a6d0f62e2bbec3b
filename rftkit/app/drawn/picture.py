"""A comparison as one image, to be pasted into a message: the image, both answers, the verdict."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from rftkit.app.drawn.panes import VERDICTS
from rftkit.errors import DataError
from rftkit.inference.drawing import BASE, GOLD, TUNED, Look, draw
from rftkit.inference.panes import Comparison, Pane

WIDE, PAD = 1200, 28
SHOWN = 420  # pixels of the image's longer side
INK, SOFT, PAPER, LINE = "#1d2127", "#636a74", "#ffffff", "#dcdfe3"
WRONG = "#b3372f"
REASONING = 420  # characters
COLUMN = 52  # characters of small text in a line


def picture_uri(both: Comparison, names: Sequence[str]) -> str:
    """The comparison as a PNG in a data URI. names: of the left and the right model."""
    out = io.BytesIO()
    picture(both, names).save(out, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def picture(both: Comparison, names: Sequence[str]) -> Image.Image:
    """The comparison drawn on white, as high as its text needs."""
    shown = _shown(both)
    left = PAD + SHOWN + PAD
    width = (WIDE - left - 2 * PAD) // 2
    columns = [
        _column(pane, name, colour, width)
        for pane, name, colour in zip((both.base, both.tuned), names, (BASE, TUNED), strict=True)
    ]
    head = 64
    height = head + PAD + max(shown.height, *(column.height for column in columns)) + PAD + 30
    page = Image.new("RGB", (WIDE, height), PAPER)
    pen = ImageDraw.Draw(page)
    title = VERDICTS[both.verdict][1] if both.verdict else "Base and fine-tuned model"
    pen.text((PAD, PAD), title, fill=INK, font=_font(30))
    if both.asked.has_truth and "grid" not in both.asked.example.meta:
        gold = f"right answer: {both.asked.example.gold[:60]}"
        pen.text((left, PAD + 8), gold, fill=GOLD, font=_font(20))
    page.paste(shown, (PAD, head + PAD))
    for number, column in enumerate(columns):
        page.paste(column, (left + number * (width + PAD), head + PAD))
    pen.text((PAD, height - 30), f"rftkit · {both.asked.task}", fill=SOFT, font=_font(15))
    return page


def _shown(both: Comparison) -> Image.Image:
    """The image, with the boxes of both sides and the true ones."""
    try:
        image = both.asked.example.image.open()
    except DataError:
        return Image.new("RGB", (SHOWN, SHOWN // 2), LINE)
    scale = SHOWN / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    for pane, look in ((both.base, Look(BASE, 10, 6, "")), (both.tuned, Look(TUNED, 1, 0, ""))):
        corners = [(x1 * scale, y1 * scale, x2 * scale, y2 * scale)
                   for x1, y1, x2, y2 in (box.box for box in pane.boxes or ())]  # fmt: skip
        draw(image, corners, look)
    return image


def _column(pane: Pane, name: str, colour: str, width: int) -> Image.Image:
    """One side: name, answer, whether it is right, reasoning."""
    answer = "no answer" if pane.answer is None else pane.answer
    reasoning = " ".join((pane.reply.reasoning or "").split())
    if len(reasoning) > REASONING:
        reasoning = reasoning[:REASONING].rstrip() + " …"
    lines = [(name, _font(18), colour)]
    lines += [(part, _font(34), INK) for part in textwrap.wrap(answer[:120], 19)[:4]]
    if pane.right is not None:
        lines.append(
            ("✓ right" if pane.right else "✗ wrong", _font(20), GOLD if pane.right else WRONG)
        )
    chances = sorted(pane.probabilities.items(), key=lambda item: -item[1])[:3]
    lines += [(f"{label[:24]}  {share:.0%}", _font(17), SOFT) for label, share in chances]
    lines += [(part, _font(16), SOFT) for part in textwrap.wrap(reasoning, COLUMN)]
    height = sum(round(font.size * 1.45) for _, font, _ in lines) + 18
    column = Image.new("RGB", (width, height), PAPER)
    pen, y = ImageDraw.Draw(column), 12
    pen.rectangle((0, 0, width, 4), fill=colour)
    for text, font, fill in lines:
        pen.text((0, y), text, fill=fill, font=font)
        y += round(font.size * 1.45)
    return column


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
