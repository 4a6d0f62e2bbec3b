"""What happens on each press: Gradio's events, and what the desk answers to them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from rftkit.app.calls import MODEL, address_of, session_of, wire_calls
from rftkit.app.drawn.panes import message_html
from rftkit.app.drawn.results import MORE, first_kind, headline_html, rows_html
from rftkit.app.fields import Fields, boxed, form_from, values_of
from rftkit.app.history import AS_NAMED, WORDS, Entry, added, export, history_html, tally
from rftkit.app.limits import read_upload
from rftkit.app.session import NO_IMAGE, VOTES, Desk, OnShow, RunRequest, View, refused, voted
from rftkit.app.worked import form_of
from rftkit.errors import UserError
from rftkit.inference.form import Form
from rftkit.inference.panes import Comparison

# says so at the press; what the run reports then takes its place, so that nothing can overtake it
STOPPING = """() => {
  const status = document.querySelector('#rft-status .prose, #rft-status');
  if (status && 'running' in document.body.dataset) status.textContent = 'Stopping …';
}"""
# names of examples and the right answer would tell which side is which
BLIND = "on => { on ? document.body.dataset.blind = '' : delete document.body.dataset.blind; }"
OVER = "() => { delete document.body.dataset.running; }"  # keys.js sets it at the press
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class Places(NamedTuple):
    """Where answers are shown."""

    status: Any
    banner: Any
    left: Any
    right: Any
    boxes: Any
    votes: tuple[Any, ...]
    note: Any


def wire(page: gr.Blocks, desk: Desk, fields: Fields, places: Places, tabs: Any) -> Any:
    """Connect every control to the desk; returns the state that says what is on show."""
    example_id = desk.worked[0].comparison.asked.example.id if desk.worked else ""
    chosen, on_show = gr.State(example_id), gr.State(OnShow())
    written = gr.State(fields.prompt.value)  # what the fields make; any other is a person's own
    shown = [places.status, places.banner, places.left, places.right, places.boxes,
             fields.truth_note]  # fmt: skip
    filled = [*fields.asked(), written]
    _wire_run(desk, fields, [*shown, places.note], (chosen, on_show, written), tabs)
    _wire_fields(desk, fields, [*shown, places.note], (chosen, on_show, written), tabs)
    _wire_votes(desk, places, shown, on_show, tabs)
    opening = [fields.image, *filled, chosen, on_show, tabs.tabs, *shown, places.note]
    legend = places.note.value

    def opened(both: Comparison, form: Form, show: OnShow, look: View) -> tuple[Any, ...]:
        return (_image(both), *values_of(form), form.prompt or both.asked.prompt,
                both.asked.example.id, show, gr.Tabs(selected="compare"), *look,
                legend)  # fmt: skip

    by_name = {evaluated.name: evaluated for evaluated in desk.served.evaluated}

    def open_row(name: str, kind: str, event: gr.EventData) -> tuple[Any, ...]:
        pressed = str(event.open)
        if pressed.startswith(MORE):
            return (rows_html(by_name[name], kind, int(pressed[len(MORE) :])), *_skipped(opening))
        both = desk.opened(name, pressed)
        if both is None:
            return _skipped([None, *opening])
        return (gr.skip(), *opened(both, form_of(both), OnShow(), desk.view(both)))

    def open_entry(request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        past = desk.past.of(session_of(request))
        for entry in past:
            if str(entry.number) == str(event.open):
                both, show = entry.comparison, OnShow(entry.hidden or AS_NAMED, entry.number)
                return opened(both, entry.form, show, desk.view(both, entry.hidden))
        return _skipped(opening)

    tabs.rows.click(open_row, [tabs.names, tabs.kinds], [tabs.rows, *opening], **QUICK)
    tabs.past.click(open_entry, None, opening, **QUICK)
    _wire_results(desk, tabs)
    wire_calls(desk)
    page.unload(_leaver(desk))
    return on_show


def _wire_run(
    desk: Desk, fields: Fields, shown: list[Any], states: tuple[Any, ...], tabs: Any
) -> None:
    chosen, on_show, written = states
    *_, note = shown
    legend = note.value

    def run(
        request: gr.Request, path: str | None, example_id: str, auto: str, blind: bool, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        session, kept, legend_update = session_of(request), _skipped(range(3)), legend
        try:
            form = form_from(values)
            form = replace(form, prompt="") if form.prompt == auto else form
            asked = RunRequest(form, path or "", example_id, session, address_of(request), blind)
            for both, look, sides in desk.run(asked):  # noqa: B007  the last one is kept
                yield (*look, legend_update, OnShow(sides), *kept)
                legend_update = gr.skip()
            past = added(desk.past.of(session), form, both, sides if blind else None)
            desk.past.keep(session, past)
            show = OnShow(sides, past[-1].number)
            yield (*look, legend_update, show, history_html(past), _exported(past), gr.skip())
        except UserError as error:
            look = refused(error)
            if look.truth_note:  # what is on show stays
                places = (*_skipped(look[:-1]), look.truth_note, *_skipped(range(4)))
                yield (*places, gr.Accordion(open=True))
            else:
                yield (*look, legend, OnShow(), *kept)

    inputs = [fields.image, chosen, written, fields.blind, *fields.asked()]
    outputs = [*shown, on_show, tabs.past, tabs.export, fields.known]
    how: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", **MODEL}
    pressed = fields.run.click(run, inputs, outputs, **how)

    def fill(event: gr.EventData) -> tuple[Any, ...]:
        both = desk.worked[int(event.open)].comparison
        form = form_of(both)
        return (_image(both), *values_of(form), form.prompt, both.asked.example.id)

    filled = [fields.image, *fields.asked(), written, chosen]
    filled_in = fields.examples.click(fill, None, filled, **QUICK).then(run, inputs, outputs, **how)
    for event in (pressed, filled_in):
        event.then(None, js=OVER, api_visibility="private")
        event.failure(None, js=OVER, api_visibility="private")

    def stop(request: gr.Request) -> None:
        desk.stop(session_of(request))

    fields.stop.click(stop, None, None, js=STOPPING, **QUICK)
    fields.blind.change(None, fields.blind, None, js=BLIND, api_visibility="private")


def _wire_fields(
    desk: Desk, fields: Fields, shown: list[Any], states: tuple[Any, ...], tabs: Any
) -> None:
    chosen, on_show, written = states
    *_, note = shown
    legend = note.value

    def judge(request: gr.Request, about: tuple[Any, ...], truth: str) -> tuple[Any, ...]:
        session, show = session_of(request), OnShow(*about)
        past = desk.past.of(session)
        entry = next((one for one in past if one.number == show.number), None)
        if entry is None or entry.form.truth == truth:
            return _skipped([*shown[:-1], tabs.past])
        try:
            entry = desk.judged(entry, truth)
        except UserError as error:
            return (*_skipped(range(5)), message_html(str(error), "error"), gr.skip())
        past = tuple(entry if one.number == entry.number else one for one in past)
        desk.past.keep(session, past)
        return (*desk.view(entry.comparison, entry.hidden), history_html(past))

    for leave in (fields.truth.blur, fields.truth.submit):
        leave(judge, [on_show, fields.truth], [*shown[:-1], tabs.past], **QUICK)

    def preset(task: str, path: str | None) -> tuple[Any, ...]:
        form = desk.served.setup.form(task)
        prompt = desk.prompt(form, path or "")
        values = values_of(replace(form, prompt=prompt))
        return (*values, prompt, gr.HTML(visible=boxed(task)))

    filled = [*fields.asked(), written, fields.draw]
    fields.task.input(preset, [fields.task, fields.image], filled, **QUICK)

    def rewrite(path: str | None, auto: str, *values: Any) -> tuple[Any, Any]:
        try:
            form = form_from(values)
            prompt = desk.prompt(form, path or "")
        except UserError:
            return gr.skip(), gr.skip()
        if form.prompt and form.prompt != auto:
            return gr.skip(), gr.skip()  # a person's own prompt stays
        return prompt, prompt

    inputs = [fields.image, written, *fields.asked()]
    for control in (fields.labels, fields.question, fields.style):
        control.change(rewrite, inputs, [fields.prompt, written], **QUICK)

    def about(message: str) -> tuple[Any, ...]:
        look = View(message, message_html(message), "", "", "")
        return (gr.skip(), "", "", OnShow(), *look, legend)

    def uploaded(path: str) -> tuple[Any, ...]:
        try:
            read_upload(Path(path))
        except UserError as error:
            return (None, "", "", OnShow(), *refused(error), legend)
        return about("Image read: press Run.")

    def removed() -> tuple[Any, ...]:  # takes no image: Gradio would hand over the one that goes
        return about(NO_IMAGE)

    outputs = [fields.image, chosen, fields.truth, on_show, *shown]
    fields.image.upload(uploaded, fields.image, outputs, **QUICK).then(
        rewrite, inputs, [fields.prompt, written], **QUICK
    )
    fields.image.clear(removed, None, outputs, **QUICK)


def _wire_votes(desk: Desk, places: Places, shown: list[Any], on_show: Any, tabs: Any) -> None:
    for button, vote in zip(places.votes, VOTES, strict=True):

        def on_vote(request: gr.Request, about: tuple[Any, ...], vote: str = vote) -> Any:
            session = session_of(request)
            show, past = OnShow(*about), desk.past.of(session)
            before = next((entry for entry in past if entry.number == show.number), None)
            if before is None:
                note = message_html("Nothing to vote on yet: press Run, and wait for both.")
                return (*_skipped([*shown, on_show]), note, *_skipped(range(2)))
            past = voted(past, vote, show)
            desk.past.keep(session, past)
            (entry,) = (entry for entry in past if entry.number == show.number)
            message = f"Noted: {WORDS.get(entry.vote, entry.vote)}."
            if before.hidden:
                message += f" On the left was: {desk.names[show.order[0]]}."
            message += f" {tally(past)}"
            look = (*desk.view(entry.comparison), OnShow(number=entry.number))
            return (*look, message_html(message), history_html(past), _exported(past))

        outputs = [*shown, on_show, places.note, tabs.past, tabs.export]
        button.click(on_vote, on_show, outputs, **QUICK)


def _exported(past: tuple[Entry, ...]) -> str:
    """A file with the entries as JSON lines."""
    folder = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
    file = folder / "comparisons.jsonl"
    file.write_text(export(past), "utf-8")
    return str(file)


def _wire_results(desk: Desk, tabs: Any) -> None:
    by_name = {evaluated.name: evaluated for evaluated in desk.served.evaluated}

    def listed(name: str | None, kind: str) -> str:
        return rows_html(by_name[name], kind) if name in by_name else ""

    def chosen(name: str | None) -> tuple[str, str, str]:
        if name not in by_name:
            return "", "all", ""
        kind = first_kind(by_name[name])
        return headline_html(by_name[name]), kind, rows_html(by_name[name], kind)

    tabs.names.change(chosen, tabs.names, [tabs.headline, tabs.kinds, tabs.rows], **QUICK)
    tabs.kinds.input(listed, [tabs.names, tabs.kinds], tabs.rows, **QUICK)


def _leaver(desk: Desk) -> Any:
    def leave(request: gr.Request) -> None:
        desk.leave(session_of(request))

    return leave


def _skipped(places: Iterable[object]) -> tuple[Any, ...]:
    """For outputs that stay as they are."""
    return tuple(gr.skip() for _ in places)


def _image(both: Comparison) -> Any:
    try:
        return both.asked.example.image.open()
    except UserError:
        return None
