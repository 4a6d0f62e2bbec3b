"""Two real runs of different styles, compared on the images that both were tested on."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rftkit.cli import main as cli
from rftkit.comparison.schema import Comparison
from rftkit.evaluation.run import EvalRequest, evaluate_checkpoint
from rftkit.metrics.files import read_summary
from rftkit.runs.run import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture
def compare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `rftkit compare`; gives exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["rftkit", "compare", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return int(caught.value.code or 0), written.out, written.err

    return run


def test_two_styles_on_the_same_images(
    short_run: Callable[..., RunFolder],
    compare: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    think = short_run("method.steps=2", out="think").folder
    direct = short_run("method.steps=2", "style=direct", out="direct").folder
    page = tmp_path / "page.html"
    code, out, err = compare(think, direct, "--json", "--html", page)
    assert (code, err) == (0, "")
    found = Comparison.model_validate_json(out)
    summaries = [read_summary(folder / "eval/test") for folder in (think, direct)]
    values = [value.value for value in found.metrics[0].values]
    assert values == pytest.approx([s.tuned.accuracy.value for s in summaries if s.tuned])
    assert (found.examples, found.images) == (20, 20)
    assert [setting.key for setting in found.settings] == ["style"]
    tokens = found.metric_of("tokens")
    assert tokens
    assert tokens.gaps[0]
    assert tokens.gaps[0].verdict == "lower"  # an answer alone is shorter than reasoning
    assert [cost.train_steps for cost in found.costs] == [2, 2]
    changed = len(found.changes[0].fixed) + len(found.changes[0].broken)
    assert page.read_text("utf-8").count("<img ") == changed > 0

    code, out, _ = compare(think, direct, "--base", "--show", "1")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "A  think, base model (tiny, think, the reference)" in out

    newest = max((direct / "checkpoints").glob("step-*"))
    code, out, err = compare(think, newest)
    assert (code, out) == (1, "")
    assert f"rftkit eval --ckpt {newest}, or add --evaluate" in err
    code, out, err = compare(direct, newest, "--evaluate", "--json")
    assert code == 0, err
    gap = json.loads(out)["metrics"][0]["gaps"][0]
    assert (gap["value"], gap["p"], gap["pairs"]) == (0, 1, 20)  # the adapter that the run kept

    request = EvalRequest(style="direct", base=False)
    other = evaluate_checkpoint(think, request, Console(file=io.StringIO())).folder
    code, out, err = compare(think, other)
    assert (code, err) == (0, "")
    assert "evaluation: style" in out
    assert f"B  think/{other.name} (tiny, direct)" in out
