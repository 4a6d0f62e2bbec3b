"""Alarms in real runs: what is cut off, what does not learn, and a run that the first one ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rftkit.cli.main import app
from rftkit.files import read_lines
from rftkit.runs.checkpoints import in_order
from rftkit.runs.run import RunFolder, state

pytestmark = pytest.mark.slow

CUT_OFF = ("method.max_new_tokens=2", "method.steps=4", "eval.limit=4")


def test_completions_that_are_cut_off_and_an_adapter_that_stands_still(
    short_run: Callable[..., RunFolder],
) -> None:
    run = short_run(*CUT_OFF, "method.steps=6", "method.learning_rate=1e-30")
    assert [(line["step"], line["name"]) for line in read_lines(run.alarms)] == [
        (3, "truncated"),
        (5, "unchanged"),
    ]
    page = run.report.read_text("utf-8")
    assert page.count("<b>Alarm</b>") == 2
    assert "were cut off at 2 tokens; raise method.max_new_tokens" in page
    assert {"repetition"} <= read_lines(run.metrics)[0].keys()


@pytest.mark.parametrize("kind", ["sft", "exact"])
def test_other_methods_that_stand_still(short_run: Callable[..., RunFolder], kind: str) -> None:
    few = ("method.steps=5", "eval.limit=4", "style=direct")
    run = short_run(f"method.kind={kind}", "method.learning_rate=1e-30", *few)
    assert [(line["step"], line["name"]) for line in read_lines(run.alarms)] == [(5, "unchanged")]


def test_a_script_ends_with_the_first_alarm_and_goes_on_past_it(
    tiny: Path, tmp_path: Path, short_run: Callable[..., RunFolder], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    sets = [word for change in CUT_OFF for word in ("--set", change)]
    words = ["train", "short.toml", "--out", "run", "--stop-on", "alarm", *sets]
    run = RunFolder(tmp_path / "run")
    ended = CliRunner().invoke(app, words)
    assert type(ended.exception).__name__ == "TrainingError"
    line = str(ended.exception)
    assert line.startswith("stopped by --stop-on alarm: step 3: ")
    assert line.endswith(" --stop-on alarm --resume")
    assert [path.name for path in in_order(run.checkpoints)] == ["step-000003"]
    assert state(run) == "stopped"
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0
    assert [one["step"] for one in read_lines(run.metrics)] == [1, 2, 3, 4]
    assert [one["name"] for one in read_lines(run.alarms)] == ["truncated"]
    assert state(run) == "finished"
