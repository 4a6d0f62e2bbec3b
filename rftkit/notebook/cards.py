"""Images beside what was said of them, as a piece of HTML that a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from rftkit.report.samples_shown import Thumbnail

# colours are those of the page that it is shown on, light or dark; sizes are in pixels
CARDS = "display:flex; flex-wrap:wrap; gap:12px; margin:6px 0 14px"
CARD = "width:250px; padding:10px; border:1px solid #8886; border-radius:8px"
IMAGE = "display:block; max-width:100%; margin-top:6px; border-radius:4px"
CRISP = "width:112px; image-rendering:pixelated"  # small ones are enlarged, not blurred
ANSWER = "margin-top:8px"
REASONING = "opacity:.75; font-style:italic"


class Line(NamedTuple):
    """One answer. who: whose it is. reasoning: "" where there is none."""

    who: str
    answer: str
    reasoning: str = ""


class Card(NamedTuple):
    """One example: its images, what is above them, and the answers."""

    title: str
    thumbnails: tuple[Thumbnail, ...]
    lines: tuple[Line, ...] = ()


def render(title: str, cards: Sequence[Card]) -> str:
    """The cards side by side, as many in a row as there is room for, under a title."""
    inside = "".join(_card(card) for card in cards)
    return f'<div><b>{escape(title)}</b><div style="{CARDS}">{inside}</div></div>'


def _card(card: Card) -> str:
    images = "".join(_image(thumbnail) for thumbnail in card.thumbnails)
    lines = "".join(_line(line) for line in card.lines)
    return f'<div style="{CARD}"><div>{escape(card.title)}</div>{images}{lines}</div>'


def _image(thumbnail: Thumbnail) -> str:
    style = f"{IMAGE}; {CRISP}" if thumbnail.small else IMAGE
    return f'<img src="{thumbnail.uri}" alt="" style="{style}">'


def _line(line: Line) -> str:
    reasoning = f'<div style="{REASONING}">{escape(line.reasoning)}</div>' if line.reasoning else ""
    who = f"{escape(line.who)}: " if line.who else ""
    return f'<div style="{ANSWER}">{who}<b>{escape(line.answer)}</b>{reasoning}</div>'
