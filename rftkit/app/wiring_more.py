"""Events beside the comparison: which two are compared, a picture of it, a folder of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from rftkit.app.calls import MODEL, session_of
from rftkit.app.drawn.panes import message_html
from rftkit.app.drawn.picture import picture_uri
from rftkit.app.fields import Fields, form_from
from rftkit.app.grid import asked, grid_html
from rftkit.app.session import Desk, OnShow
from rftkit.errors import UserError

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# to the clipboard, or where a browser forbids that, into a file
COPY = """async uri => {
  if (!uri) return;
  const blob = await (await fetch(uri)).blob();
  const note = document.querySelector('#rft-copy-note');
  try {
    await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
    if (note) note.textContent = 'Copied: paste it anywhere.';
  } catch {
    const link = document.createElement('a');
    link.href = uri;
    link.download = 'comparison.png';
    link.click();
    if (note) note.textContent = 'Saved as comparison.png.';
  }
}"""


class More(NamedTuple):
    """Controls beside the comparison. left, right: None where nothing can be chosen."""

    left: Any
    right: Any
    chosen: Any
    copy: Any
    uri: Any
    files: Any
    ask: Any
    stop: Any
    kinds: Any
    grid: Any


def wire_more(desk: Desk, fields: Fields, more: More, on_show: Any) -> None:
    """Connect them to the desk."""
    _wire_choice(desk, more)
    _wire_copy(desk, more, on_show)
    _wire_folder(desk, fields, more)


def _wire_choice(desk: Desk, more: More) -> None:
    if more.left is None:
        return

    def choose(left: str, right: str) -> str:
        try:
            return message_html(desk.choose(left, right))
        except UserError as error:
            return message_html(str(error), "error")

    for control in (more.left, more.right):
        control.input(choose, [more.left, more.right], more.chosen, api_visibility="private",
                      show_progress="hidden", **MODEL)  # fmt: skip


def _wire_copy(desk: Desk, more: More, on_show: Any) -> None:
    def copy(request: gr.Request, about: tuple[Any, ...]) -> str:
        show = OnShow(*about)
        entries = desk.past.of(session_of(request))
        entry = next((one for one in entries if one.number == show.number), None)
        if entry is not None and not entry.hidden:
            return picture_uri(entry.comparison, (desk.names["base"], desk.names["tuned"]))
        if desk.worked and entry is None:
            names = (desk.names["base"], desk.names["tuned"])
            return picture_uri(desk.worked[0].comparison, names)
        return ""

    event = more.copy.click(copy, on_show, more.uri, **QUICK)
    event.then(None, more.uri, None, js=COPY, api_visibility="private")


def _wire_folder(desk: Desk, fields: Fields, more: More) -> None:
    cells = gr.State([])

    def ask(
        request: gr.Request, files: list[str] | None, kind: str, *values: Any
    ) -> Iterator[tuple[Any, str]]:
        try:
            form = form_from(values)
        except UserError as error:
            yield gr.skip(), message_html(str(error), "error")
            return
        total = len(files or [])
        for found in asked(desk, files or [], form, f"folder-{session_of(request)}"):
            yield found, grid_html(found, kind, total)

    def stop(request: gr.Request) -> None:
        desk.stop(f"folder-{session_of(request)}")

    def filtered(found: list[Any], kind: str) -> str:
        return grid_html(found, kind, len(found))

    how: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", **MODEL}
    more.ask.click(ask, [more.files, more.kinds, *fields.asked()], [cells, more.grid], **how)
    more.stop.click(stop, None, None, **QUICK)
    more.kinds.input(filtered, [cells, more.kinds], more.grid, **QUICK)
