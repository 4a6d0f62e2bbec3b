"""What `rftkit compare` prints: within 80 columns, the result at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rftkit.comparison import words
from rftkit.comparison.schema import Change, Changes, Comparison, Gap, Metric, ReplyOf
from rftkit.messages import printable
from rftkit.metrics.verdict import points
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from rich.console import Console

LISTED = 5  # examples of a list
CLASSES = 6
CELL = 24  # letters of a gold answer or a setting
SETTINGS = 50  # letters of a line of settings
MOST_GAPS = 3  # columns of differences beside those of values
WIDEST = 100  # columns of a reply, however wide the terminal
TONES = {"better": "bold green", "worse": "bold red", "": "bold"}


def show_comparison(c: Comparison, console: Console, each: int = LISTED) -> None:
    """Print who is compared, metrics, what changed, classes, cost, settings, and the result."""
    _subjects(c, console)
    for place in range(len(c.subjects) - 1):
        _metrics(c, place, console)
    for changes in c.changes:
        _changes(c, changes, console, each)
    _classes(c, console, each)
    _costs(c, console)
    _settings(c, console)
    _result(c, console)


def _print(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(printable(text), style=style))


def _subjects(c: Comparison, console: Console) -> None:
    for subject in c.subjects:
        reference = ", the reference" if subject is c.subjects[0] else ""
        _print(
            console,
            f"{subject.letter}  {subject.name} ({subject.model}, {subject.style}{reference})",
        )
    unit = get_task(c.task).words.unit
    images = f" of {c.images} images" if c.images != c.examples else ""
    _print(console, f"{c.examples} {unit}{images} in common, split {c.split!r}, strict scoring")


def _metrics(c: Comparison, place: int, console: Console) -> None:
    first, other = c.subjects[0].letter, c.subjects[place + 1].letter
    heads = [first, other, f"{other} − {first}", "95 % interval", "p"]
    heads += ["Holm p"] if c.adjusted else []
    rows = [(m.title, _cells(m, place, bool(c.adjusted))) for m in c.metrics]
    _table(console, heads, rows)


def _cells(metric: Metric, place: int, adjusted: bool) -> list[str]:
    gap = metric.gaps[place]
    cells = [words.value(metric.values[at], metric) for at in (0, place + 1)]
    if gap is None:
        return [*cells, "", "", "", *([""] if adjusted else [])]
    cells += [words.amount(gap.value, metric, signed=True), words.ends(gap, metric)]
    cells.append("" if gap.p is None else words.p_value(gap.p))
    if adjusted:
        cells.append("" if gap.p_holm is None else words.p_value(gap.p_holm))
    return cells


def _changes(c: Comparison, changes: Changes, console: Console, each: int) -> None:
    first, other = c.subjects[0].letter, changes.letter
    good, bad = ("better", "worse") if c.graded else ("fixed", "broken")
    both = ("both good", "both poor") if c.graded else ("both right", "both wrong")
    console.print()
    _print(
        console,
        f"{other} against {first}: {len(changes.fixed)} {good}, {len(changes.broken)} {bad}, "
        f"{changes.both_good} {both[0]}, {changes.both_poor} {both[1]}",
    )
    for word, listed in ((good, changes.fixed), (bad, changes.broken)):
        if listed and each:
            _print(console, f"{word}:", style="bold")
            for change in listed[:each]:
                _example(change, (first, other), console)
            _more(console, len(listed) - each, "in --html and --json")


def _example(change: Change, letters: tuple[str, str], console: Console) -> None:
    wide = min(console.width, WIDEST)
    gold = f", gold {change.gold}" if len(change.gold) < CELL else ""
    _print(console, _short(f"  {change.image}{gold}", wide))
    for letter, reply in zip(letters, (change.reference, change.subject), strict=True):
        _print(console, _short(f"    {letter}: {_said(reply)}", wide))


def _said(reply: ReplyOf) -> str:
    """The answer, and the reply on one line where it is more than that."""
    answer = "no answer" if reply.answer is None else reply.answer
    text = " ".join(reply.text.split())
    return answer if text == answer else f"{answer}  ← {text}"


def _short(text: str, wide: int) -> str:
    return text if len(text) <= wide else f"{text[: wide - 1]}…"


def _more(console: Console, count: int, where: str) -> None:
    if count > 0:
        _print(console, f"  and {count} more, {where}")


def _classes(c: Comparison, console: Console, each: int) -> None:
    if not c.classes or not each:
        return
    letters = [subject.letter for subject in c.subjects]
    narrow = len(letters) > MOST_GAPS + 1
    heads = ["n", *letters]
    heads += [] if narrow else [f"{letter} − {letters[0]}" for letter in letters[1:]]
    heads += ["95 % interval"] if len(letters) == 2 else []
    rows = []
    for row in c.classes[:CLASSES]:
        cells = [str(row.n), *(f"{points(share)} %" for share in row.values)]
        cells += [] if narrow else [points(gap.value, signed=True) for gap in row.gaps]
        if len(letters) == 2:
            low, high = row.gaps[0].low, row.gaps[0].high
            cells.append(f"{points(low, signed=True)} to {points(high, signed=True)}")
        rows.append((row.label or "(none)", cells))
    _table(console, heads, rows, f"by {c.class_kind}, the largest change first")
    _more(console, len(c.classes) - CLASSES, "in --html and --json")


def _costs(c: Comparison, console: Console) -> None:
    if rows := words.cost_rows(c.costs):
        _table(console, [s.letter for s in c.subjects], rows, "cost")


def _settings(c: Comparison, console: Console) -> None:
    console.print()
    if not c.settings:
        known = all(subject.recipe for subject in c.subjects)
        _print(console, "no setting differs" + ("" if known else " among those that are known"))
        return
    wide = min(CELL, SETTINGS // len(c.subjects) - 2)
    rows = [
        (row.key, [_short("not known" if t is None else t, wide) for t in row.values])
        for row in c.settings
    ]
    _table(console, [s.letter for s in c.subjects], rows, "settings that differ", gap=False)


def _result(c: Comparison, console: Console) -> None:
    console.print()
    for note in c.notes:
        _print(console, f"note: {note}", style="yellow")
    if c.adjusted:
        _print(
            console,
            f"Holm p: adjusted over the {len(c.changes)} comparisons, for each metric on its own.",
        )
    for sentence, gap in zip(c.sentences, c.metrics[0].gaps, strict=False):
        _print(console, sentence, style=TONES[_tone(gap)])


def _tone(gap: Gap | None) -> str:
    return {"higher": "better", "lower": "worse"}.get(str(gap and gap.verdict), "")


def _table(
    console: Console,
    heads: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    title: str = "",
    gap: bool = True,
) -> None:
    from rich.table import Table
    from rich.text import Text

    if gap:
        console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(Text(title), overflow="fold")
    for head in heads:
        table.add_column(Text(head), justify="right", overflow="fold")
    for label, cells in rows:
        table.add_row(Text(printable(label)), *(Text(printable(cell)) for cell in cells))
    console.print(table)
