"""Settings of matplotlib that lie in the current folder change no chart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from rftkit.bench.measure import Measured
from rftkit.bench.plot import plot
from rftkit.report.plots import training

LINES: list[dict[str, object]] = [
    {"step": n, "rewards": {"accuracy": n / 4}, "length": 9 - n} for n in (1, 2, 3)
]
STRANGE = {
    "text.usetex": True,
    "font.family": ["monospace"],
    "lines.linewidth": 9.0,
    "figure.facecolor": "red",
}
# what is drawn, and what matplotlib has read of a file that lies where the process runs
DRAW = """
import json, sys
from rftkit.report.plots import training
drawn = [list(chart) for chart in training(json.loads(sys.argv[1]))]
import matplotlib
print(json.dumps([drawn, matplotlib.rcParams["text.usetex"], matplotlib.rcParams["backend"]]))
"""


def test_a_report_is_drawn_by_matplotlibs_own_settings() -> None:
    drawn = training(LINES)
    assert len(drawn) == 2
    with mpl.rc_context(STRANGE):
        assert training(LINES) == drawn
        assert mpl.rcParams["text.usetex"] is True  # the user's own are as before


def test_a_bench_is_drawn_by_matplotlibs_own_settings(tmp_path: Path) -> None:
    names = dict.fromkeys(("backend", "trainer", "generation"), "shared")
    found, one, other = (
        [Measured(names, 3.5, 1.0, 0.5, 2.0)],
        tmp_path / "a.png",
        tmp_path / "b.png",
    )
    plot(found, one, "a recipe")
    with mpl.rc_context(STRANGE):
        plot(found, other, "a recipe")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("kind", ["settings", "pipe"])
def test_a_file_of_the_current_folder_is_not_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "matplotlibrc"
    if kind == "pipe":
        os.mkfifo(file)  # whoever opens it waits
    else:
        file.write_text("text.usetex: True\nbackend: module://evil\n\x1b]0;own\x07: 1\n", "utf-8")
    asked = [sys.executable, "-c", DRAW, json.dumps(LINES)]
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path / "config")}
    done = subprocess.run(
        asked, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    drawn, usetex, backend = json.loads(done.stdout)
    assert drawn == [list(chart) for chart in training(LINES)]
    assert usetex is False
    assert backend != "module://evil"
    assert "own" not in done.stderr
