"""What the app's controls do, without a word of Gradio: from fields to what is shown."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from rftkit import __version__
from rftkit.app.candidates import BASE
from rftkit.app.drawn.boxes import boxes_html
from rftkit.app.drawn.panes import NAMES, message_html, pane_html, status_text, verdict_html
from rftkit.app.drawn.results import find
from rftkit.app.history import AS_NAMED, Entry, Order, Past
from rftkit.app.limits import PRIVATE, Limits, Meter, read_upload
from rftkit.app.opening import Served
from rftkit.app.worked import worked_examples
from rftkit.core import LazyImage
from rftkit.errors import UserError
from rftkit.inference.compare import Stop, compare
from rftkit.inference.form import Asked, Form, ask, prompt_of
from rftkit.inference.panes import Comparison, Pane, judged_anew
from rftkit.inference.truth import TruthError
from rftkit.metrics.samples import Side

NO_IMAGE = "There is no image yet: upload or paste one, or choose an example."
REPLAY = "This page replays recorded answers: choose an example, or a row of the results."
VOTES = ("left", "right", "tie", "both bad")


class View(NamedTuple):
    """What a comparison looks like: HTML for each place of the page."""

    status: str
    banner: str
    left: str
    right: str
    boxes: str
    truth_note: str = ""


class OnShow(NamedTuple):
    """What a vote is about: which side is left, and its number in the history or 0."""

    order: Order = AS_NAMED
    number: int = 0


class RunRequest(NamedTuple):
    """One press of Run. path: of the uploaded image; chosen: the id of an example, or ""."""

    form: Form
    path: str
    chosen: str
    session: str
    address: str = ""
    blind: bool = False


@dataclass
class Desk:
    """What is served, with the runs that are under way: one for each session at most."""

    served: Served
    limits: Limits = PRIVATE
    stops: dict[str, Stop] = field(default_factory=dict)
    names: dict[Side, str] = field(default_factory=lambda: dict(NAMES))
    past: Past = field(default_factory=Past)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Prepare what is shown first."""
        self.meter = Meter(self.limits.per_minute)
        self.worked = worked_examples(self.served)

    def run(self, request: RunRequest) -> Iterator[tuple[Comparison, View, Order]]:
        """The comparison as it grows, its look, and which side is left.

        Raises UserError for what cannot be asked.
        """
        self.meter.count(request.address)
        asked = self.asked(request)
        order = _order(request.blind)
        stop = self._begin(request.session)
        try:
            for both in compare(self.served.backend, asked, stop):
                yield both, self.view(both, order if request.blind else None), order
        finally:
            self._end(request.session, stop)

    def asked(self, request: RunRequest) -> Asked:
        """The question of a request. Raises UserError, naming the field and what to do."""
        if request.chosen and self.served.replay:
            return self._recorded(request.chosen)
        if not request.path:
            raise UserError(NO_IMAGE)
        if self.served.replay:
            raise UserError(REPLAY)
        settings = request.form.settings
        tokens = max(1, min(settings.max_new_tokens, self.limits.tokens))
        form = replace(request.form, settings=replace(settings, max_new_tokens=tokens))
        return ask(form, self.served.setup, read_upload(Path(request.path)))

    def choose(self, left: str, right: str) -> str:
        """Put two of the models on the sides; what is compared now, in words.

        It holds for everybody who has the page open. Raises UserError for a name that is not there,
        or an adapter that does not fit.
        """
        by_name = {one.name: one for one in self.served.models}
        choose = getattr(self.served.backend, "choose", None)  # a replay has none
        if choose is None or not {left, right} <= {*by_name}:
            raise UserError("choose two of the models that are listed")
        own = self.served.models[1].adapter
        assert own is not None
        choose("base", by_name[left].adapter, own)
        choose("tuned", by_name[right].adapter, own)
        as_trained = (left, right) == (BASE, self.served.models[1].name)
        self.names = dict(NAMES) if as_trained else {"base": left, "tuned": right}
        return f"Compared now: {left} on the left, {right} on the right. Press Run."

    def view(self, both: Comparison, blind: Order | None = None) -> View:
        """The comparison as HTML, under the names of what stands on the sides now."""
        return view(both, blind, self.names)

    def judged(self, entry: Entry, truth: str) -> Entry:
        """An entry of the history with the right answer that was given since; no model is asked.

        Raises UserError if it cannot be read.
        """
        form = replace(entry.form, truth=truth)
        both = entry.comparison
        asked = ask(form, self.served.setup, both.asked.example.image)
        asked = replace(both.asked, example=asked.example, has_truth=asked.has_truth)
        return replace(entry, form=form, comparison=judged_anew(both, asked))

    def stop(self, session: str) -> str:
        """End the session's run, and say what happens."""
        with self.lock:
            stop = self.stops.get(session)
        if stop is None:
            return "Nothing is running."
        stop.set()
        return "Stopping …"

    def leave(self, session: str) -> None:
        """End what a session runs, and forget it."""
        self.stop(session)
        self.past.forget(session)

    def prompt(self, form: Form, path: str) -> str:
        """The prompt that the fields make; "" while a field that it needs is empty or wrong."""
        try:
            return prompt_of(form, self.served.setup, self._image(path))
        except UserError:
            return ""

    def opened(self, name: str, identity: str) -> Comparison | None:
        """The recorded comparison of an evaluation and an example."""
        return find(self.served.evaluated, name, identity)

    def health(self) -> dict[str, Any]:
        """Whether the app is up, and the name of what it serves."""
        with self.lock:
            running = len(self.stops)
        return {
            "status": "ok",
            "serves": self.served.name,
            "rftkit": __version__,
            "running": running,
        }

    def _image(self, path: str) -> LazyImage | None:
        return read_upload(Path(path)) if path else None

    def _recorded(self, identity: str) -> Asked:
        for evaluated in self.served.evaluated:
            both = find([evaluated], evaluated.name, identity)
            if both is not None:
                return both.asked
        raise UserError(REPLAY)

    def _begin(self, session: str) -> Stop:
        stop = threading.Event()
        with self.lock:
            before = self.stops.get(session)
            self.stops[session] = stop
        if before is not None:
            before.set()
        return stop

    def _end(self, session: str, stop: Stop) -> None:
        with self.lock:
            if self.stops.get(session) is stop:
                del self.stops[session]


def view(both: Comparison, blind: Order | None = None, names: Mapping[Side, str] = NAMES) -> View:
    """The comparison as HTML. blind: which side is left and right, with names hidden."""
    if blind is None:
        return View(
            escape(status_text(both, (names["base"], names["tuned"]))),
            verdict_html(both),
            pane_html(both.base, names["base"]),
            pane_html(both.tuned, names["tuned"]),
            boxes_html(both) if both.ended else "",
        )
    panes = {"base": both.base, "tuned": both.tuned}
    shown = [panes[side] for side in blind]
    if not both.ended:  # the base answers first: its side must not show
        shown = [replace(Pane(pane.side), state="answering") for pane in shown]
        status = "Both are answering …"
    else:
        status = "Both have ended: vote to see which is which."
    left, right = (
        pane_html(replace(pane, probabilities={}, rewards={}, correct=None), name)
        for pane, name in zip(shown, ("Left", "Right"), strict=True)
    )
    return View(status, "", left, right, "")


def refused(error: UserError) -> View:
    """What is shown for a question that cannot be asked: the sentence, once.

    A TruthError stands beside the field of the right answer, and nothing else of the View is to be
    shown.
    """
    message = message_html(str(error), "error")
    if isinstance(error, TruthError):
        return View("", "", "", "", "", message)
    return View("", message, "", "", "")


def voted(entries: tuple[Entry, ...], vote: str, on_show: OnShow) -> tuple[Entry, ...]:
    """The entries, the one on show with a vote; left and right become the sides they stand for."""
    sides = dict(zip(("left", "right"), on_show.order, strict=True))
    return tuple(
        replace(entry, vote=sides.get(vote, vote)) if entry.number == on_show.number else entry
        for entry in entries
    )


def _order(blind: bool) -> Order:
    return ("tuned", "base") if blind and random.random() < 0.5 else AS_NAMED
