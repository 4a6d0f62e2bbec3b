"""The table at the end of `rftkit eval`: legible in 40 columns, plain without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING

from rftkit.messages import printable
from rftkit.metrics import Summary
from rftkit.metrics.schema import Reliability, SideSummary, display_model, sides_of
from rftkit.metrics.verdict import points
from rftkit.report import tables
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

TONES = {
    "better": "bold green",
    "worse": "bold red",
    "no difference detected": "bold",
    "unknown": "bold yellow",
}
FLAGS = ("no answer", "unparseable", "off the list", "several answers", "truncated")
KINDS_SHOWN = 12

Row = tuple[str, list[str]]


def safe_text(line: str, style: str = "") -> Text:
    """A line as it is, but for control characters: files of a stranger's run may hold some."""
    from rich.text import Text

    return Text(printable(line), style=style)


def show_summary(summary: Summary, console: Console) -> None:
    """Print both models side by side, what went wrong with responses, and the verdict in words."""

    sides = [(name, side) for name, side in sides_of(summary) if side]
    names = [display_model(name) for name, _ in sides]
    console.print(_table("", names, _rows(summary, [side for _, side in sides])))
    console.print(safe_text(setting(summary)), soft_wrap=False)
    words = get_task(summary.task).words
    for row in tables.metric_rows(sides):
        if row.note:
            console.print(safe_text(f"{row.title} by {row.note}"))
    if kinds := tables.kinds(summary, sides):
        shown, rest = kinds.rows[:KINDS_SHOWN], len(kinds.rows) - KINDS_SHOWN
        console.print()
        heads = [*names, "n"] if kinds.counted else names
        title = f"{kinds.metric} by {words.group}"
        console.print(_table(title, heads, map(_kind, shown)))
        if rest > 0:
            console.print(safe_text(f"and {rest} more {words.groups}, in the report"))
    for name, side in sides:
        if side.decodings and side.decodings.low > 0:
            console.print(safe_text(f"{display_model(name)}: {side.decodings.words}"))
    for note in summary.notes:
        console.print(safe_text(f"note: {note}", style="yellow"))
    for line in (summary.fell, summary.advice):
        if line:
            console.print(safe_text(line))
    if told := summary.headline or (summary.difference.words if summary.difference else ""):
        console.print(safe_text(told, style=TONES[summary.tone]))


def data_name(summary: Summary) -> str:
    """What the data are called, such as "pets, "; "" where the evaluation does not say."""
    source, _, path = summary.provenance.data.partition(" ")
    name = PurePath(path).name or source
    return f"{name}, " if name else ""


def setting(summary: Summary, named: bool = True) -> str:
    """Scoring rule, size of the list and chance level, which belong beside every headline.

    named: says what the data are called, which is the name of a file or folder.
    """
    side = summary.tuned or summary.base
    task, data = get_task(summary.task), data_name(summary) if named else ""
    parts = [
        f"{side.n if side else 0} {task.words.unit} of {data}split {summary.split!r}",
        "strict scoring",
    ]
    if summary.list_size is not None and summary.chance is not None:
        size = f"{summary.list_size:.1f}".removesuffix(".0")
        parts.append(
            f"{size} options" if task.answer_kind == "option" else f"list of {size} labels"
        )
        parts.append(f"chance {points(summary.chance)} %")
    elif summary.metric == "accuracy":
        parts.append("open answer")
    return ", ".join(parts)


def _rows(summary: Summary, sides: list[SideSummary]) -> list[Row]:
    rows: list[Row] = [
        (label, [cell(side) for side in sides]) for label, cell in _headline(summary, sides)
    ]
    for row in tables.metric_rows([("", side) for side in sides]):
        rows.append((row.title, [cell.text for cell in row.cells]))
        if row.name == "map":
            rows.append(("95 % interval", [cell.interval for cell in row.cells]))
    rows += [(label, [cell(side) for side in sides]) for label, cell in (*_CALIBRATION, *_CONDUCT)]
    for flag in FLAGS:
        rows.append((f"· {flag}", [_count(side.health.get(flag, 0)) for side in sides]))
    rows.append(("repetition", [_count(side.health.get("repetition", 0)) for side in sides]))
    return [(label, cells) for label, cells in rows if any(cells)]


def _headline(
    summary: Summary, sides: list[SideSummary]
) -> list[tuple[str, Callable[[SideSummary], str]]]:
    kinds = get_task(summary.task).words.groups
    other = "free reply" if summary.decode == "choices" else "by the list"
    levels = dict.fromkeys(level for side in sides for level in side.levels)
    return [
        (summary.metric, lambda side: tables.in_words(side.accuracy)),
        ("95 % interval", lambda side: tables.interval(side.accuracy)),
        (other, lambda side: _by_the_other(side, summary)),
        ("macro accuracy", lambda side: f"{points(side.macro_accuracy)} %" if side.classes else ""),
        *((name, _level(name)) for name in levels),
        (f"base {kinds}", lambda side: tables.in_words(side.halves.base) if side.halves else ""),
        (f"new {kinds}", lambda side: tables.in_words(side.halves.new) if side.halves else ""),
        ("H", lambda side: tables.in_words(side.halves.harmonic) if side.halves else ""),
    ]


def _ece(found: Reliability | None) -> str:
    return tables.in_words(found.ece) if found else ""


_CALIBRATION: tuple[tuple[str, Callable[[SideSummary], str]], ...] = (
    (
        "calibration error",
        lambda side: _ece(side.calibration.before) if side.calibration else "",
    ),
    (
        "· after temperature",
        lambda side: _ece(side.calibration.after) if side.calibration else "",
    ),
)
_CONDUCT: tuple[tuple[str, Callable[[SideSummary], str]], ...] = (
    ("tokens, mean", lambda side: f"{side.lengths['total'].mean:.1f}"),
    ("samples / s", lambda side: f"{side.speed.samples_per_second:.2f}" if side.speed else ""),
    ("invalid", lambda side: f"{round(side.invalid.value * side.n)} of {side.n}"),
)


def _by_the_other(side: SideSummary, summary: Summary) -> str:
    """Accuracy of the way of answering that is not the headline; "" where it is not known."""
    if side.decodings is None:
        return ""
    by_list = summary.decode == "generate"
    return tables.in_words(side.decodings.listed if by_list else side.decodings.free)


def _level(name: str) -> Callable[[SideSummary], str]:
    return lambda side: tables.in_words(side.levels[name]) if name in side.levels else ""


def _kind(row: tables.KindRow) -> Row:
    cells = [tables.NONE if bar.value is None else f"{points(bar.value)} %" for bar in row.bars]
    return row.name, [*cells, *([] if row.n is None else [str(row.n)])]


def _table(title: str, heads: list[str], rows: Iterable[Row]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(safe_text(title))
    for head in heads:
        table.add_column(head, justify="right")
    for label, cells in rows:
        table.add_row(safe_text(label), *cells)
    return table


def _count(value: int) -> str:
    return str(value) if value else ""
