"""A folder of images: base and fine-tuned answers side by side, one card each, with a filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import NamedTuple

from rftkit.app.session import Desk, RunRequest
from rftkit.data.images import SUFFIXES
from rftkit.errors import UserError
from rftkit.inference.form import Form
from rftkit.inference.panes import Comparison, Pane
from rftkit.report.samples_shown import thumbnail

MOST = 200  # images of one folder
EDGE = 200  # pixels of a thumbnail
KINDS = ("all", "different answers", "same answer", "no answer")


class Cell(NamedTuple):
    """One image. both: None where it could not be asked; then `why` says so."""

    name: str
    both: Comparison | None
    thumbnail: str = ""
    why: str = ""

    @property
    def kind(self) -> str:
        """What the filter calls it."""
        if self.both is None or None in (self.both.base.answer, self.both.tuned.answer):
            return "no answer"
        same = self.both.base.answer == self.both.tuned.answer
        return "same answer" if same else "different answers"


def asked(desk: Desk, files: Sequence[str], form: Form, session: str) -> Iterator[list[Cell]]:
    """The cells so far, once more after each image; a press of Stop ends it.

    form: what is asked of every image, without a right answer.
    """
    images = [file for file in files if Path(file).suffix.lower() in SUFFIXES][:MOST]
    cells = list[Cell]()
    for file in images:
        name = Path(file).name
        try:
            request = RunRequest(replace(form, truth="", prompt=""), file, "", session)
            *_, (both, _, _) = desk.run(request)
        except UserError as error:
            cells.append(Cell(name, None, why=str(error)))
        else:
            small = thumbnail(both.asked.example.image.open(), EDGE).uri
            cells.append(Cell(name, both, small))
            if "stopped" in (both.base.state, both.tuned.state):
                yield cells
                return
        yield cells


def grid_html(cells: Sequence[Cell], kind: str, total: int) -> str:
    """The cards of one filter, and how many there are of each kind."""
    if not cells:
        return '<p class="quiet">Choose images above, then press Ask about all.</p>'
    shown = [cell for cell in cells if kind in ("all", cell.kind)]
    counts = ", ".join(
        f"{count} {name}"
        for name in KINDS[1:]
        if (count := sum(cell.kind == name for cell in cells))
    )
    cards = "".join(map(_card, shown))
    return (
        f'<p class="quiet">{len(cells)} of {total}: {counts}.</p><ul class="rft-grid">{cards}</ul>'
    )


def _card(cell: Cell) -> str:
    image = f'<img src="{cell.thumbnail}" alt="">' if cell.thumbnail else ""
    if cell.both is None:
        return f'<li>{image}<p class="quiet">{escape(cell.name)}</p><p>{escape(cell.why)}</p></li>'
    different = " different" if cell.kind == "different answers" else ""
    sides = "".join(
        f'<p class="{side}"><span>{title}</span> {escape(_said(pane))}</p>'
        for side, title, pane in (
            ("base", "base", cell.both.base),
            ("tuned", "fine-tuned", cell.both.tuned),
        )
    )
    name = f'<p class="quiet">{escape(cell.name)}</p>'
    return f'<li class="{different.strip()}">{image}{sides}{name}</li>'


def _said(pane: Pane) -> str:
    return "no answer" if pane.answer is None else pane.answer[:60]
