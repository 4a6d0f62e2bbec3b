"""The table at the end of `rftkit eval`: legible in 40 columns, plain without a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rftkit.summary import Summary
from rftkit.summary.schema import Rate, SideSummary
from rftkit.summary.verdict import points

if TYPE_CHECKING:
    from rich.console import Console

TONES = {"better": "bold green", "worse": "bold red", "no difference detected": "bold"}
ROWS: tuple[tuple[str, Callable[[SideSummary], str]], ...] = (
    ("accuracy", lambda side: f"{points(side.accuracy.value)} %"),
    ("95 % interval", lambda side: interval(side.accuracy)),
    ("class mean", lambda side: f"{points(side.class_mean)} %"),
    ("base classes", lambda side: f"{points(side.halves.base.value)} %" if side.halves else ""),
    ("new classes", lambda side: f"{points(side.halves.new.value)} %" if side.halves else ""),
    ("H", lambda side: f"{points(side.halves.harmonic.value)} %" if side.halves else ""),
    ("tokens, mean", lambda side: f"{side.lengths['total'].mean:.1f}"),
    ("samples / s", lambda side: f"{side.speed.samples_per_second:.2f}" if side.speed else ""),
    ("invalid", lambda side: f"{round(side.invalid.value * side.n)} of {side.n}"),
)


def show_summary(summary: Summary, console: Console) -> None:
    """Prints base beside tuned, what went wrong with replies, and the verdict in words."""
    from rich.table import Table
    from rich.text import Text

    sides = [(name, side) for name, side in sides_of(summary) if side]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("")
    for name, _ in sides:
        table.add_column(name, justify="right")
    for label, cells in _rows([side for _, side in sides]):
        table.add_row(label, *cells)
    console.print(table)
    console.print(Text(setting(summary)), soft_wrap=False)
    for note in summary.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    if summary.difference:
        tone = TONES[summary.difference.verdict]
        console.print(Text(summary.difference.words, style=tone))


def setting(summary: Summary) -> str:
    """Scoring rule, size of the list and chance level, which belong beside every accuracy."""
    side = summary.tuned or summary.base
    parts = [f"{side.n if side else 0} pictures of split {summary.split!r}", "strict scoring"]
    if summary.list_size is None or summary.chance is None:
        parts.append("open answer")
    else:
        parts.append(f"list of {summary.list_size:.0f} labels")
        parts.append(f"chance {points(summary.chance)} %")
    return ", ".join(parts)


def interval(rate: Rate) -> str:
    """Both ends in per cent."""
    return f"{points(rate.low)}–{points(rate.high)}"


def sides_of(summary: Summary) -> list[tuple[str, SideSummary | None]]:
    """Both sides by name, base first."""
    return [("base", summary.base), ("tuned", summary.tuned)]


def _rows(sides: list[SideSummary]) -> list[tuple[str, list[str]]]:
    rows = [(label, [cell(side) for side in sides]) for label, cell in ROWS]
    for flag in ("no answer", "unparseable", "off the list", "several answers", "truncated"):
        rows.append((f"· {flag}", [_count(side.health.get(flag, 0)) for side in sides]))
    rows.append(("repetition", [_count(side.health.get("repetition", 0)) for side in sides]))
    return [(label, cells) for label, cells in rows if any(cells)]


def _count(value: int) -> str:
    return str(value) if value else ""
