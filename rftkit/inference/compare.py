"""Both sides of a comparison, one after the other, as one stream of what is known so far."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from rftkit.answers import replies
from rftkit.core import Reply
from rftkit.errors import UserError
from rftkit.inference.by_list import MAX_LABELS
from rftkit.inference.form import Asked
from rftkit.inference.panes import (
    Comparison,
    Pane,
    Piece,
    State,
    Unthought,
    answered_by_list,
    judged,
    phase,
)
from rftkit.metrics.samples import SIDES, Side

EVERY = 0.08  # seconds between two updates at least
BUG = "something went wrong inside rftkit; the terminal that it was started from says what"

Stop = threading.Event


class Backend(Protocol):
    """What answers for both sides: a model, or a file of recorded answers."""

    def stream(self, asked: Asked, side: Side, stop: Stop) -> Iterator[Piece]:
        """The completion as it grows; after `stop` is set it ends soon. The last piece says so."""

    def probabilities(self, asked: Asked, pane: Pane) -> Mapping[str, float]:
        """Of each label of `asked.answers`; empty where they are not known."""

    def calibration(self, asked: Asked) -> str:
        """What they were calibrated on, in words; "" if they were not."""

    def count_tokens(self, text: str) -> int:
        """Length of a text in the model's tokens."""


def compare(
    backend: Backend, asked: Asked, stop: Stop, every: float = EVERY
) -> Iterator[Comparison]:
    """The comparison, again each time that something is new, at most once in `every` seconds.

    A side that fails does not take the other with it; once `stop` is set both end, and keep what
    they have written. The last one that comes is final. Closing the generator stops the model.
    """
    both = Comparison(asked)
    try:
        yield both
        for side in SIDES:
            for pane in _answer(backend, asked, side, stop, every):
                both = both.with_pane(pane)
                yield both
        yield both
    finally:
        stop.set()


def _answer(backend: Backend, asked: Asked, side: Side, stop: Stop, every: float) -> Iterator[Pane]:
    pane, shown = Pane(side), 0.0
    if stop.is_set():
        yield replace(pane, state="stopped")
        return
    yield (pane := replace(pane, state="reading image"))
    try:
        for piece in backend.stream(asked, side, stop):
            pane = _moved(pane, piece, asked, stop)
            if not piece.last and time.monotonic() - shown >= every:
                shown = time.monotonic()
                yield judged(pane, asked)
        pane = _by_list(backend, asked, judged(_counted(backend, pane), asked), stop)
        yield pane
        if asked.settings.unthought and pane.state == "done" and pane.reply.reasoning:
            yield replace(pane, unthought=_unthought(backend, asked, side, stop))
    except UserError as error:
        yield replace(pane, state="failed", error=str(error))
    except Exception:  # a server's boundary: the other side and the next visitor continue
        logging.getLogger(__name__).exception("%s side failed", side)
        yield replace(pane, state="failed", error=BUG)


def _unthought(backend: Backend, asked: Asked, side: Side, stop: Stop) -> Unthought | None:
    """What a side answers to the same prompt after an empty thought; None if it was stopped."""
    settings = replace(asked.settings, style="empty-think", unthought=False)
    asked = replace(asked, settings=settings)
    pane = Pane(side)
    for piece in backend.stream(asked, side, stop):
        pane = _moved(pane, piece, asked, stop)
    if pane.state != "done":
        return None
    pane = _by_list(backend, asked, judged(pane, asked), stop)
    return Unthought(pane.answer, pane.right)


def _moved(pane: Pane, piece: Piece, asked: Asked, stop: Stop) -> Pane:
    made, style = piece.completion, asked.settings.style
    pane = _with_reasoning(pane, piece, replies.read(made, style))
    state: State = phase(made.text, style)
    if piece.last:
        state = "stopped" if stop.is_set() and not made.finished else "done"
    return replace(pane, state=state, piece=piece)


def _with_reasoning(pane: Pane, piece: Piece, reply: Reply) -> Pane:
    """The pane with the reply so far; where its reasoning grew, with its tokens and seconds."""
    if reply.reasoning == pane.reply.reasoning:
        return replace(pane, reply=reply)
    tokens = piece.completion.tokens - pane.piece.completion.tokens
    seconds = piece.seconds - pane.piece.seconds
    return replace(
        pane,
        reply=reply,
        reasoning_tokens=pane.reasoning_tokens + tokens,
        think_seconds=pane.think_seconds + seconds,
    )


def _counted(backend: Backend, pane: Pane) -> Pane:
    """The pane with the tokens of its parts, without those of the tags."""
    return replace(
        pane,
        reasoning_tokens=backend.count_tokens(pane.reply.reasoning or ""),
        answer_tokens=backend.count_tokens(pane.reply.answer or ""),
    )


def _by_list(backend: Backend, asked: Asked, pane: Pane, stop: Stop) -> Pane:
    """The pane answered by its list, where there is one that is not too long to be scored."""
    scored = pane.state == "done" and 1 < len(asked.answers) <= MAX_LABELS
    if not scored or stop.is_set():
        return pane
    try:
        found = backend.probabilities(asked, pane)
    except UserError as error:
        logging.getLogger(__name__).warning("no probabilities: %s", error)
        return pane
    return answered_by_list(pane, asked, found, backend.calibration(asked))
