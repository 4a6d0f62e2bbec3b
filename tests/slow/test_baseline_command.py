"""`rftkit baseline` on the tiny model: before training, in the run's report, and for a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rftkit.cli import main as cli
from rftkit.metrics.baselines import TITLES, read_baselines
from rftkit.metrics.samples import read_samples

pytestmark = pytest.mark.slow

RECIPE = """
style = "direct"
[model]
name = "tiny"
[data]
source = "digits"
shots = 8
[method]
steps = 2
batch_size = 2
group_size = 2
[eval]
limit = 100
batch_size = 50
"""
Command = Callable[..., str]


@pytest.fixture
def rftkit(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs a command in an empty folder, and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    Path("mine.toml").write_text(RECIPE, "utf-8")

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["rftkit", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        assert not caught.value.code, written.err
        return written.out

    return run


def test_baselines_made_before_a_run_stand_in_its_report(rftkit: Command) -> None:
    before = rftkit("baseline", "mine.toml")
    assert "linear probe, vision features" in before
    assert "from 80 training shots of 10 classes, or the base model alone; 100 test" in before
    assert "fine-tuned" not in before.partition("file: ")[0]
    assert before.endswith("train mine.toml\n")
    made = read_baselines(Path("out/mine/baselines.json"))
    right = {b.name: sum(p.correct for p in b.predictions) / 100 for b in made.baselines}
    assert {*right} == {*TITLES}
    assert right["most_frequent"] == pytest.approx(0.1)
    for name in ("label_scores", "linear_probe_vision", "linear_probe_hidden"):
        assert right[name] > 0.4, (name, right)  # it has seen printed digits

    after = rftkit("train", "mine.toml", "--quiet")
    assert sorted(Path("out").iterdir()) == [Path("out/mine")]
    assert "fine-tuned ahead by" in after
    assert "The fine-tuned model cannot be told apart from: " in after or (
        "the fine-tuned model: " in after
    )
    page = Path("out/mine/report.html").read_text("utf-8")
    assert "<h2>Baselines</h2>" in page

    # the base model of the evaluation writes what it finds likeliest, in one token each
    samples = read_samples(Path("out/mine/eval/test/samples.jsonl")).samples
    base = {sample.id: sample.answer for sample in samples if sample.side == "base"}
    (scores,) = [one for one in made.baselines if one.name == "label_scores"]
    assert [p.id for p in scores.predictions] == list(base)
    assert sum(base[p.id] == p.answer for p in scores.predictions) >= 98

    again = json.loads(rftkit("baseline", "--ckpt", "out/mine", "--json"))
    assert [row["name"] for row in again["rows"]] == list(TITLES)
    assert all(row["difference"]["pairs"] == 100 for row in again["rows"])
    second = read_baselines(Path("out/mine/baselines.json"))
    assert second.baselines == made.baselines  # nothing about a run changes them

    Path("out/kept").mkdir()  # the file of the run's own settings, beside it
    Path("out/mine/baselines.json").replace("out/kept/baselines.json")
    other = rftkit("baseline", "mine.toml", "--set", "seed=1", "--out", "out/mine")
    assert "fine-tuned" not in other.partition("file: ")[0]
    assert "note: out/mine holds no evaluation of the same settings" in other
    assert "fine-tuned ahead by" in rftkit("report", "out/mine")
