"""`rftkit bench` itself, on small models with random weights: nothing is downloaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SETS = ["model.max_pixels=50176", "method.max_new_tokens=12", "method.batch_size=1",
        "method.group_size=4", "method.kl=0.04", "eval.batch_size=2"]  # fmt: skip


def bench(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    sets = [word for change in SETS for word in ("--set", change)]
    command = [sys.executable, "-m", "rftkit", "bench", "aircraft_4shot", "--steps", "1"]
    return subprocess.run(
        [*command, *sets, *more], cwd=folder, capture_output=True, text=True, check=False
    )


def test_every_path_is_measured_and_drawn(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    done = bench(tmp_path, "--random-weights", "--tiny", "--json", "--plot", str(chart))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = [tuple(one["setup"].values()) for one in found]
    assert names[0] == ("transformers", "transformers", "shared")
    assert names[-1] == ("transformers", "transformers", "trl")
    for one in found:
        assert not one["error"]
        parts = [one[name] for name in ("rollout", "logps", "backward")]
        assert all(part > 0 for part in parts)
        assert sum(parts) == pytest.approx(one["step"])
        assert one["tokens_per_second"] > 0
        assert one["images_per_second"] > 0
        assert one["peak"] > 0
        assert one["planned"] > 0
    assert "gradients by" in found[0]["checked"]["checked shared prefixes"]
    assert chart.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]


def test_imitation_is_measured_too(tmp_path: Path) -> None:
    done = bench(tmp_path, "--random-weights", "--tiny", "--set", "method.kind=sft")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("transformers, trl, transformers")


@pytest.mark.parametrize(("words", "said"), [
    (("--tiny",), "--tiny: goes with --random-weights only"),
    (("--plot", "chart.pdf"), "--plot chart.pdf: name a .svg or .png file"),
    (("--random-weights", "--tiny", "--seconds", "1"), "nothing was measured: no time left; "),
    (("--random-weights", "--tiny", "--only", "no such path"), "no path has that in its name"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_line(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = bench(tmp_path, *words)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
