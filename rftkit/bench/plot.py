"""A chart of what was measured: the parts of a step, by path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rftkit.bench.measure import Measured
from rftkit.report.chart_defaults import default_style

PARTS = {"rollout": "rollout", "logps": "log-probabilities", "backward": "forward and backward"}


@default_style()
def plot(found: Sequence[Measured], path: Path, title: str) -> None:
    """Write a bar for each path that was measured, in the format of the file's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [one for one in found if one.step]
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.5 * len(rows)), layout="constrained")
    names = [one.name for one in rows]
    start = [0.0] * len(rows)
    for part, label in PARTS.items():
        seconds = [float(getattr(one, part) or 0.0) for one in rows]
        axes.barh(names, seconds, left=start, label=label)
        start = [a + b for a, b in zip(start, seconds, strict=True)]
    if not any(start):  # SFT has no parts
        axes.barh(names, [float(one.step or 0.0) for one in rows], label="step")
    axes.invert_yaxis()
    axes.set(xlabel="seconds of a step", title=title)
    axes.legend(frameon=False)
    figure.savefig(path)
    pyplot.close(figure)
