"""A run folder that rftkit 0.1 wrote, before its modules moved, is read and scored as it was.

`tests/data/run_before_rooms` is `rftkit train recipes/quickstart.toml --set method.steps=4 --set
eval.limit=40` of that version, without its checkpoints and pages.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rftkit.cli.main import main
from rftkit.metrics.files import read_summary
from rftkit.runs.adapter import find, labels_of

OLD = Path(__file__).parents[1] / "data" / "run_before_rooms"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def rftkit(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["rftkit", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_its_summary_is_read() -> None:
    summary = read_summary(OLD / "eval" / "test")
    stored = json.loads((OLD / "eval" / "test" / "summary.json").read_text("utf-8"))
    assert summary.base
    assert summary.tuned
    assert summary.base.accuracy.value == stored["base"]["accuracy"]["value"]
    assert summary.tuned.accuracy.value == stored["tuned"]["accuracy"]["value"]


def test_its_samples_score_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_summary(run / "eval" / "test")
    assert rftkit(monkeypatch, "eval", "--rescore", str(run / "eval/test/samples.jsonl")) == 0
    after = read_summary(run / "eval" / "test")
    assert (after.base, after.tuned) == (before.base, before.tuned)
    assert after.difference.model_dump(exclude={"words"}) == before.difference.model_dump(
        exclude={"words"}
    )


def test_it_is_listed_and_its_report_is_drawn(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rftkit(monkeypatch, "runs", str(run)) == 0
    assert "4/4" in capsys.readouterr().out
    assert rftkit(monkeypatch, "report", str(run)) == 0
    assert "95 % interval" in (run / "report.html").read_text("utf-8")


def test_its_adapter_names_recipe_and_labels(run: Path) -> None:
    for location in (run, run / "adapter"):
        checkpoint = find(location)
        assert checkpoint.recipe.model.name == "tiny"
        assert labels_of(checkpoint) == tuple("0123456789")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "adapter"])
def test_it_evaluates(run: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    words = ("eval", "--ckpt", str(run / part), "--limit", "20")
    assert rftkit(monkeypatch, *words) == 0
    (file,) = [
        path
        for path in run.parent.rglob("summary.json")
        if json.loads(path.read_text("utf-8"))["expected"] == 20
    ]
    summary = read_summary(file.parent)
    assert summary.complete
    assert summary.base
    assert summary.tuned
    assert (summary.base.n, summary.tuned.n) == (20, 20)


def test_a_report_says_why_images_are_missing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = (run / "resolved.toml").read_text("utf-8")
    moved = recipe.replace('source = "digits"\npath = ""', 'source = "folder"\npath = "/gone/pets"')
    assert moved != recipe
    (run / "resolved.toml").write_text(moved, "utf-8")
    assert rftkit(monkeypatch, "report", str(run)) == 0
    page = (run / "report.html").read_text("utf-8")
    assert "Images are not shown: the data cannot be read (/gone/pets" in page
