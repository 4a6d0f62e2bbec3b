"""The chart of a study: what is gained, against what every reply costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rftkit.metrics.verdict import points
from rftkit.report import plots
from rftkit.study.schema import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"think": "tuned", "direct": "third", "answer-first": "fourth", "adaptive": "fifth"}
MARKERS = "osD^vPX*<>"
SIZE = (4.6, 3.2)  # inches, as the other charts


@plots.page_style()
def tokens_and_score(rows: Sequence[Row]) -> str:
    """A point per row; a colour per style, a mark per data set, a thin line joins a setting."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    datasets = list(dict.fromkeys(row.setting.dataset for row in rows))
    for setting in dict.fromkeys(_key(row) for row in rows):
        joined = sorted((r for r in rows if _key(r) == setting), key=lambda r: r.tokens_after)
        axes.plot(
            [r.tokens_after for r in joined],
            [r.after.value for r in joined],
            color=plots.LINE,
            linewidth=1,
            zorder=1,
        )
        for row in joined:
            _point(axes, row, MARKERS[datasets.index(row.setting.dataset) % len(MARKERS)])
    _frame(axes, rows, datasets)
    return plots.svg(figure, "; ".join(_spoken(row) for row in rows))


def _point(axes: Axes, row: Row, marker: str) -> None:
    colour = plots.COLOURS[COLOURS[row.style]]
    whisker = [[row.after.value - row.after.low], [row.after.high - row.after.value]]
    axes.errorbar(
        row.tokens_after,
        row.after.value,
        yerr=[[max(0.0, end[0])] for end in whisker],
        color=colour,
        marker=marker,
        markersize=6,
        capsize=3,
        linewidth=1.2,
    )


def _frame(axes: Axes, rows: Sequence[Row], datasets: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    styles = list(dict.fromkeys(row.style for row in rows))
    handles = [
        Line2D([], [], color=plots.COLOURS[COLOURS[s]], marker="s", linestyle="") for s in styles
    ]
    marks = [
        Line2D([], [], color=plots.INK, marker=MARKERS[n % len(MARKERS)], linestyle="")
        for n in range(len(datasets))
    ]
    axes.set_xlim(0, 1.08 * max(1.0, *(row.tokens_after for row in rows)))
    ticks = axes.get_yticks()
    axes.set_yticks(ticks, [f"{100 * tick:.4g}" for tick in ticks])
    low, high = min(r.after.low for r in rows), max(r.after.high for r in rows)
    margin = 0.08 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("tokens per reply")
    axes.set_ylabel(" / ".join(dict.fromkeys(row.metric for row in rows)) + ", %")
    axes.tick_params(length=0)
    axes.legend(
        [*handles, *(marks if len(datasets) > 1 else [])],
        [*styles, *(datasets if len(datasets) > 1 else [])],
        loc="lower left",
        bbox_to_anchor=(-0.02, 1),
        ncols=2,
        borderaxespad=0.2,
        handlelength=1.0,
        columnspacing=1.2,
    )


def _key(row: Row) -> tuple[str, str, int]:
    return (row.setting.dataset, row.setting.method, row.setting.shots)


def _spoken(row: Row) -> str:
    score = f"{points(row.after.value)} % at {row.tokens_after:.1f} tokens"
    return f"{row.setting.dataset}, {row.style}: {score}"
