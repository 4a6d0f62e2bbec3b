"""The confusion matrix as a grid for the page."""

from __future__ import annotations

from typing import NamedTuple

from rftkit.metrics.classes import INVALID
from rftkit.metrics.schema import SideSummary

WIDEST = 30  # classes that a grid can show; past that, the commonest confusions are listed
LISTED = 20


class GridRow(NamedTuple):
    """Counts of one gold label by answer; shares are of the row, in [0, 1]."""

    gold: str
    cells: tuple[tuple[str, int, float], ...]


class Grid(NamedTuple):
    """A small confusion matrix. answers: column heads, the last one for invalid replies."""

    answers: tuple[str, ...]
    rows: tuple[GridRow, ...]


class Confusion(NamedTuple):
    """One wrong answer and how often it came."""

    gold: str
    answer: str
    times: int


def grid(side: SideSummary) -> Grid | None:
    """The matrix of one side; None past WIDEST classes."""
    gold = [row.label for row in side.classes]
    counts = {(cell.gold, cell.answer or INVALID): cell.count for cell in side.confusion}
    others = sorted({cell.answer for cell in side.confusion if cell.answer} - {*gold})
    answers = (*gold, *others, *([INVALID] if side.invalid.value else []))
    if len(answers) > WIDEST + 1:
        return None
    rows = []
    for row in side.classes:
        cells = [(answer, counts.get((row.label, answer), 0)) for answer in answers]
        rows.append(GridRow(row.label, tuple((a, count, count / row.n) for a, count in cells)))
    return Grid(answers, tuple(rows))


def commonest(side: SideSummary) -> tuple[Confusion, ...]:
    """The LISTED most frequent wrong answers, invalid ones among them."""
    wrong = [
        Confusion(cell.gold, cell.answer or INVALID, cell.count)
        for cell in side.confusion
        if cell.answer != cell.gold
    ]
    return tuple(sorted(wrong, key=lambda c: (-c.times, c.gold, c.answer))[:LISTED])
