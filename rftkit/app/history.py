"""This session's comparisons: listed with a thumbnail, opened again, voted on, exported."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from threading import Lock

from rftkit.errors import DataError
from rftkit.inference.form import Form
from rftkit.inference.panes import Comparison
from rftkit.measures.statistics import wilson
from rftkit.metrics.samples import Side
from rftkit.report.samples_shown import thumbnail

MOST = 50  # comparisons kept; the oldest goes
EDGE = 96  # pixels of a thumbnail
SESSIONS = 100  # kept at most
ORDERED = ("tuned", "base", "tie", "both bad")
WORDS = {"tuned": "fine-tuned", "base": "base"}
FEWEST = 3  # decided votes from which a share is said

Order = tuple[Side, Side]  # which side is left, which right
AS_NAMED: Order = ("base", "tuned")


@dataclass(frozen=True)
class Entry:
    """One comparison that was run. vote: of a person, "" if none; blind: names were hidden.

    order: which side was left.
    """

    number: int
    form: Form
    comparison: Comparison
    thumbnail: str = ""
    vote: str = ""
    blind: bool = False
    order: Order = AS_NAMED

    @property
    def hidden(self) -> Order | None:
        """The order of a blind one that has no vote yet, which nothing may give away; else None."""
        return self.order if self.blind and not self.vote else None

    def record(self) -> dict[str, object]:
        """For a line of the export."""
        return {
            "number": self.number,
            "vote": self.vote or None,
            "blind": self.blind,
            **self.comparison.record(),
        }


class Past:
    """The entries of each session, in memory only; of many sessions the oldest go."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[Entry, ...]] = OrderedDict()
        self._lock = Lock()

    def of(self, session: str) -> tuple[Entry, ...]:
        """What a session has run."""
        with self._lock:
            return self._entries.get(session, ())

    def keep(self, session: str, entries: tuple[Entry, ...]) -> None:
        """Put a session's entries in place of what was there."""
        with self._lock:
            self._entries[session] = entries
            self._entries.move_to_end(session)
            while len(self._entries) > SESSIONS:
                self._entries.popitem(last=False)

    def forget(self, session: str) -> None:
        """Drop a session that has ended."""
        with self._lock:
            self._entries.pop(session, None)


def added(
    entries: Sequence[Entry], form: Form, both: Comparison, blind: Order | None = None
) -> tuple[Entry, ...]:
    """The entries with one more. blind: which side is left, if names are hidden."""
    number = entries[-1].number + 1 if entries else 1
    try:
        small = thumbnail(both.asked.example.image.open(), EDGE).uri
    except DataError:
        small = ""
    return (*entries, Entry(number, form, both, small, "", bool(blind), blind or AS_NAMED))[-MOST:]


def history_html(entries: Sequence[Entry]) -> str:
    """The list, newest first, each entry a button that opens it."""
    if not entries:
        return '<p class="quiet">Nothing yet. What you run is listed until you close the page.</p>'
    rows = "".join(_row(entry) for entry in reversed(entries))
    return f'<p class="words">{escape(tally(entries))}</p><ul class="rft-rows">{rows}</ul>'


def tally(entries: Sequence[Entry]) -> str:
    """The votes so far, and how often the fine-tuned model won, with a 95 % interval."""
    votes = Counter(entry.vote for entry in entries if entry.vote)
    if not votes:
        return ""
    counted = ", ".join(f"{WORDS.get(vote, vote)} {votes[vote]}" for vote in ORDERED if votes[vote])
    decided = votes["tuned"] + votes["base"]
    total = sum(votes.values())
    words = f"{total} vote{'s' if total > 1 else ''}: {counted}."
    if decided < FEWEST:
        return words
    low, high = wilson(votes["tuned"], decided)
    return (
        f"{words} Fine-tuned preferred in {votes['tuned'] / decided:.0%} of {decided} decided "
        f"votes, 95 % interval {low:.0%} to {high:.0%}."
    )


def export(entries: Sequence[Entry]) -> str:
    """JSON lines, oldest first."""
    lines = [json.dumps(entry.record(), ensure_ascii=False) for entry in entries]
    return "\n".join(lines) + ("\n" if lines else "")


def _row(entry: Entry) -> str:
    both = entry.comparison
    image = (
        f'<img src="{entry.thumbnail}" alt="" width="44" height="44">' if entry.thumbnail else ""
    )
    answers = " → ".join(
        "no answer" if pane.answer is None else pane.answer[:40] for pane in (both.base, both.tuned)
    )
    verdict: str = both.verdict or "stopped"
    if entry.hidden:
        verdict, answers = "blind", "vote to see the answers"
    vote = f"vote: {WORDS.get(entry.vote, entry.vote)}" if entry.vote else ""
    return (
        f'<li><button type="button" class="rft-open" data-open="{entry.number}">{image}'
        f'<span class="verdict {verdict.replace(" ", "-")}">{verdict}</span>'
        f'<span>{escape(answers)}</span><span class="quiet">no. {entry.number} {vote}</span>'
        "</button></li>"
    )
