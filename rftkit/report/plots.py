"""Charts as inline SVG whose text and colours follow the page, in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from rftkit.messages import printable
from rftkit.metrics import Summary
from rftkit.metrics.schema import display_model
from rftkit.metrics.verdict import points
from rftkit.report.chart_defaults import default_style
from rftkit.report.training_curves import (
    Metrics,
    Series,
    column,
    imitated,
    reward_names,
    smoothed,
    warmup_end,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib wants real colours; each stands for one that the page's style sheet gives
INK, LINE = "#010101", "#020202"
COLOURS = {
    "base": "#030303",
    "tuned": "#040404",
    "third": "#050505",
    "fourth": "#060606",
    "fifth": "#070707",
    "sixth": "#080808",
}
PAGE = {INK: "currentColor", LINE: "var(--line)"} | {c: f"var(--{n})" for n, c in COLOURS.items()}

ORDER = ("tuned", "third", "fourth", "base", "fifth", "sixth")  # further rewards are not drawn
SHAPING = ("format", "length", "no_repetition")  # rewards that say nothing of the answer
SIZE = (4.6, 2.5)  # inches; at 72 units an inch, text of 9 is legible on a phone
STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rftkit",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is one
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


class Line(NamedTuple):
    """One curve: what it is called, its points, and which of COLOURS it wears."""

    name: str
    series: Series
    colour: str


class Chart(NamedTuple):
    """A finished chart: a heading, one sentence on how to read it, and the SVG."""

    title: str
    caption: str
    svg: str


class Frame(NamedTuple):
    """What a chart of training is called. share: its axis runs from 0 to 1.

    warmup: the last step of a warm-up, up to which it is shaded.
    """

    title: str
    caption: str
    share: bool = False
    warmup: float | None = None


@contextmanager
def page_style() -> Iterator[None]:
    """Within it, and in functions it decorates, figures wear the page's colours."""
    with default_style(STYLE):
        yield


@page_style()
def headline(summary: Summary) -> str:
    """The headline of both models as bars with their intervals, and the chance level."""
    sides = {"base": summary.base, "tuned": summary.tuned}
    shown = [(name, side.accuracy) for name, side in sides.items() if side]
    figure, axes = _figure((4.6, 0.75 + 0.42 * len(shown)))
    for location, (name, rate) in enumerate(shown):
        whisker = [[max(0, rate.value - rate.low)], [max(0, rate.high - rate.value)]]
        axes.barh(location, rate.value, height=0.62, color=COLOURS[name], alpha=0.85)
        axes.errorbar(rate.value, location, xerr=whisker, color=INK, capsize=3, linewidth=1.2)
        axes.text(min(rate.high + 0.02, 1.03), location, f"{points(rate.value)} %", va="center")
    if summary.chance is not None:
        axes.axvline(summary.chance, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    axes.set_yticks(range(len(shown)), [display_model(name) for name, _ in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.16)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.grid(axis="y", visible=False)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    spoken = ", ".join(f"{display_model(name)}: {points(rate.value)} %" for name, rate in shown)
    return svg(figure, f"{summary.metric} of {spoken}")


@page_style()
def training(metrics: Metrics) -> list[Chart]:
    """Every chart for which the run logged something, the one that tells most first."""
    names = reward_names(metrics)
    main = next((name for name in names if name not in SHAPING), "accuracy")
    right = Line(f"{main} reward", column(metrics, f"rewards.{main}"), "tuned")
    length = Line("reply length, tokens", column(metrics, "length"), "base")
    parts = [
        Line(name, column(metrics, f"rewards.{name}"), colour)
        for name, colour in zip(names, ORDER, strict=False)
    ]
    silent = Line("zero-variance groups", column(metrics, "silent_groups"), "third")
    cut = Line("truncated completions", column(metrics, "truncated"), "fourth")
    off = Line("off the list", column(metrics, "off_list"), "fourth")
    loss = Line("loss", column(imitated(metrics), "loss"), "base")
    tokens = Line("token accuracy", column(metrics, "token_accuracy"), "tuned")
    drift = Line("KL to the base model", column(metrics, "kl"), "third")
    entropy = Line("entropy, nats", column(metrics, "entropy"), "fourth")
    validated = Line("held-out data", column(metrics, "validation"), "base")
    frame = partial(Frame, warmup=warmup_end(metrics))
    shorter = frame(f"Length and {main}", "Does the model write less as it gets better?")
    each = "Mean of each reward over the step's replies." + _undrawn(names[len(ORDER) :])
    held_out = "What training pays for, beside what it is worth on examples that it does not see."
    silence = "A group whose replies all score the same teaches nothing."
    unlisted = "The probability of every reply that is no answer of the list."
    varied = "how varied its replies still are."
    moved = f"How far the model moves from its base, and {varied}"
    if not drift.series.values:
        moved = varied.capitalize()
    charts = [
        _chart(shorter, [length], [right]) if length.series.values else None,
        _chart(frame("Rewards, one by one", each, share=True), parts),
        _chart(frame("Chosen by held-out data", held_out, share=True), [validated, right])
        if validated.series.values
        else None,
        _chart(frame("Lost signal", silence, share=True), [silent, cut]),
        _chart(frame("Off the list", unlisted, share=True), [off]),
        _chart(frame("Loss and token accuracy", "On the reply only."), [loss], [tokens])
        if tokens.series.values
        else None,
        _chart(frame("Drift", moved), [drift], [entropy]),
    ]
    return [drawn for drawn in charts if drawn]


def _chart(frame: Frame, left: Sequence[Line], right: Sequence[Line] = ()) -> Chart | None:
    """One chart over steps; None if nothing was logged."""
    left, right = ([line for line in side if line.series.values] for side in (left, right))
    if not left:
        left, right = right, []
    if not left:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(SIZE)
    handles = [_draw(axes, line) for line in left]
    handles += _draw_beside(axes, right) if right else []
    axes.set_ylim(*_limits(left, frame.share))
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # half a step is none
    axes.yaxis.set_major_formatter("{x:g}")  # no "1e-8" above the axis, where the legend is
    if frame.warmup:
        axes.axvspan(0, frame.warmup + 0.5, color=LINE, alpha=0.45, linewidth=0)
        axes.text(frame.warmup / 2, 0.5, "warm-up", rotation=90, ha="center", va="center",
                  transform=axes.get_xaxis_transform())  # fmt: skip
    axes.tick_params(length=0)
    names = [line.name + _side(line, left, right) for line in [*left, *right]]
    axes.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1),
        ncols=2,
        borderaxespad=0.2,
        handlelength=1.2,
        columnspacing=1.2,
    )
    ends = [
        f"{line.name} from {line.series.values[0]:.3g} to {line.series.values[-1]:.3g}"
        for line in [*left, *right]
    ]
    return Chart(frame.title, frame.caption, svg(figure, "; ".join(ends)))


def _draw_beside(axes: Axes, lines: Sequence[Line]) -> list[Artist]:
    """The lines on an axis of their own, at the right; their handles for the legend."""
    other = axes.twinx()
    other.grid(visible=False)
    other.yaxis.set_major_formatter("{x:g}")
    other.tick_params(length=0)
    other.spines[:].set_visible(False)
    other.set_ylim(*_limits(lines, share=lines[0].name.endswith(("reward", "accuracy"))))
    return [_draw(other, line) for line in lines]


def _undrawn(names: Sequence[str]) -> str:
    return f" Not drawn: {', '.join(names)}." if names else ""


def _draw(axes: Axes, line: Line) -> Artist:
    """Raw points faint, their running mean on top; the handle for the legend."""
    steps, values = line.series
    colour = COLOURS[line.colour]
    if len(values) < 12:
        return axes.plot(steps, values, color=colour, marker="o", markersize=3)[0]
    axes.plot(steps, values, color=colour, alpha=0.3, linewidth=0.9)
    return axes.plot(steps, smoothed(values, max(3, len(values) // 12)), color=colour)[0]


def _side(line: Line, left: Sequence[Line], right: Sequence[Line]) -> str:
    return "" if not right else " (left)" if line in left else " (right)"


def _limits(lines: Sequence[Line], share: bool) -> tuple[float, float]:
    values = [value for line in lines for value in line.series.values]
    low, high = min(values), max(values)
    if share and low >= 0 and high <= 1:
        return 0.0, 1.03
    margin = 0.06 * (high - low) or 0.5
    return (0.0 if 0 <= low < 0.5 * high else low - margin), high + margin


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def svg(figure: Figure, spoken: str) -> str:
    """The figure as an `<svg>` in the page's colours and font. spoken: for screen readers."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # a name may be a stranger's, and matplotlib warns with it
        assert isinstance(text, Text)
        text.set_text(printable(text.get_text()))
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    drawn = out.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", drawn)
    drawn = drawn.replace("xlink:href", "href")
    box = re.search(r'viewBox="[^"]*"', drawn)
    assert box, "matplotlib writes a viewBox"
    for colour, name in PAGE.items():
        drawn = drawn.replace(colour, name)
    start = f'<svg {box.group()} role="img" aria-label="{escape(printable(spoken), quote=True)}">'
    return re.sub(r"<svg[^>]*>", lambda _: start, drawn, count=1)
