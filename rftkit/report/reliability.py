"""What a page says of calibration: the reliability diagram, the table beside it, the sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rftkit.measures.values import Rate
from rftkit.metrics.schema import Calibration, Reliability, SideSummary, display_model
from rftkit.metrics.verdict import points
from rftkit.report.plots import COLOURS, INK, Chart, page_style, svg
from rftkit.report.tables import in_words, interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

NOT_FITTED = (
    "These probabilities are not calibrated: training held out no examples to fit a temperature "
    "on. Set eval.during, or name a split in eval.validation, and train again."
)
FITTED = (
    "The temperature was fitted on examples that training held out; it changes no answer, only how "
    "sure it is."
)
CAPTION = (
    "On the dashed line answers are as often right as their probability says; below it less often. "
    "Bars are 95 % intervals; the thin line is before the temperature, where one was fitted."
)
MARKERS = {"base": "s", "tuned": "o"}  # told apart without colour
Sides = Sequence[tuple[str, SideSummary]]


class Cell(NamedTuple):
    """A value, and the lines that stand small under it."""

    text: str
    small: tuple[str, ...] = ()


EMPTY = Cell("")


class Section(NamedTuple):
    """Everything of the section. rows: a heading, and a cell for each model."""

    chart: Chart | None
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    sentences: tuple[str, ...]


def final(found: Calibration) -> Reliability | None:
    """What is true of the probabilities as they are given out: after the temperature if any."""
    return found.after or found.before


def section(sides: Sides) -> Section | None:
    """The section of an evaluation whose samples have scores; None of one without."""
    known = [(name, side.calibration) for name, side in sides if side.calibration]
    if not known:
        return None
    rows = [
        (title, tuple(cell(side.calibration) if side.calibration else EMPTY for _, side in sides))
        for title, cell in ROWS
    ]
    return Section(
        chart=_chart([(name, found) for name, found in known if found.before]),
        rows=tuple((title, cells) for title, cells in rows if any(cell.text for cell in cells)),
        sentences=tuple(_sentences([found for _, found in known])),
    )


def _chart(known: Sequence[tuple[str, Calibration]]) -> Chart | None:
    return Chart("Reliability", CAPTION, _diagram(known)) if known else None


@page_style()
def _diagram(known: Sequence[tuple[str, Calibration]]) -> str:
    """Accuracy against confidence: a marker for each bin that has answers, with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 2)))
    handles, names = [], []
    for name, found in known:
        if found.after and found.before:
            _draw(axes, found.before, COLOURS[name], faint=True)
        last = final(found)
        assert last is not None, "what is drawn has bins"
        handles.append(_draw(axes, last, COLOURS[name], marker=MARKERS[name]))
        names.append(display_model(name))
    axes.legend(handles, names, loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("right")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, ["0", "25", "50", "75", "100 %"])
    axes.set_yticks(ticks, ["0", "25", "50", "75", "100 %"])
    axes.tick_params(length=0)
    return svg(figure, "; ".join(_spoken(name, found) for name, found in known))


def _draw(
    axes: Axes, found: Reliability, colour: str, marker: str = "", faint: bool = False
) -> Artist:
    """One curve; faint: as a thin line without markers. Returns its handle for the legend."""
    bins = [one for one in found.bins if one.confidence is not None and one.accuracy is not None]
    x = [one.confidence for one in bins if one.confidence is not None]
    rates = [one.accuracy for one in bins if one.accuracy is not None]
    y = [rate.value for rate in rates]
    if faint:
        return axes.plot(x, y, color=colour, alpha=0.45, linewidth=0.9)[0]
    ends = [[rate.value - rate.low for rate in rates], [rate.high - rate.value for rate in rates]]
    ends = [[max(0.0, end) for end in row] for row in ends]
    axes.errorbar(x, y, yerr=ends, color=colour, linewidth=0, elinewidth=1, capsize=2, alpha=0.7)
    return axes.plot(x, y, color=colour, marker=marker, markersize=4)[0]


def _spoken(name: str, found: Calibration) -> str:
    """One model's curve for screen readers."""
    last = final(found)
    bins = [
        f"{points(one.confidence)} % sure, {points(one.accuracy.value)} % right of {one.n}"
        for one in (last.bins if last else ())
        if one.confidence is not None and one.accuracy is not None
    ]
    return f"{display_model(name)} model: {', '.join(bins)}"


def _sentences(known: Sequence[Calibration]) -> Iterator[str]:
    fitted = [found for found in known if found.temperature is not None]
    yield FITTED if fitted else NOT_FITTED
    yield from dict.fromkeys(found.note for found in known if found.note)


def _ece(found: Reliability | None) -> Cell:
    return _with_interval(found.ece) if found else EMPTY


def _with_interval(rate: Rate) -> Cell:
    return Cell(in_words(rate), (interval(rate),))


def _brier(found: Reliability | None) -> Cell:
    return Cell(f"{found.brier:.3f}") if found else EMPTY


def _kept(budget: float) -> Callable[[Calibration], Cell]:
    """How many answers are kept at this budget, and what their error may be."""

    def cell(found: Calibration) -> Cell:
        last = final(found)
        one = next((one for one in last.coverage if one.budget == budget), None) if last else None
        if one is None:
            return EMPTY
        wrong = (f"{one.wrong} of {one.kept} wrong", f"at most {points(one.error_at_most)} %")
        return Cell(in_words(one.coverage), (interval(one.coverage), *(wrong if one.kept else ())))

    return cell


ROWS: tuple[tuple[str, Callable[[Calibration], Cell]], ...] = (
    (
        "accuracy by list",
        lambda one: _with_interval(one.accuracy) if one.accuracy else EMPTY,
    ),
    (
        "calibration error",
        lambda one: _ece(one.before) if one.before else Cell(f"{points(one.ece)} %"),
    ),
    ("· after the temperature", lambda one: _ece(one.after)),
    ("Brier score", lambda one: _brier(one.before)),
    ("· after the temperature ", lambda one: _brier(one.after)),
    ("probability of gold", lambda one: Cell(f"{points(one.mean_gold)} %")),
    ("kept at 5 % error", _kept(0.05)),
    ("kept at 10 % error", _kept(0.1)),
    (
        "temperature",
        lambda one: EMPTY if one.temperature is None else Cell(f"{one.temperature:.2f}"),
    ),
)
