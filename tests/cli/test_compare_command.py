"""`rftkit compare` as it is typed: what it prints, its exit codes, its JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import compared
import pytest

import rftkit as api
from rftkit.cli import complete
from rftkit.cli import main as cli
from rftkit.comparison.schema import Comparison
from rftkit.errors import UserError
from rftkit.measures import statistics

A = ("cat", "dog", "cat", "dog", "cat", "fox")
B = ("cat", "cat", "fox", "dog", "dog", "horse \x1b[31m and a very long reply " + "on and " * 30)


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bootstraps come to is looked at elsewhere: tests/comparison/test_gaps.py."""
    monkeypatch.setattr(statistics, "RESAMPLES", 20)


@pytest.fixture
def compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs the command in a folder with the runs a, b and c."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    data = compared.pictures(tmp_path / "pets")
    for name, texts, seed in (("a", A, 0), ("b", B, 1), ("c", compared.GOLD, 2)):
        compared.evaluated(Path(f"out/{name}"), texts, compared.recipe(data, seed=seed))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["rftkit", "compare", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return Done(int(caught.value.code or 0), written.out, written.err)

    return run


def test_two_runs_in_80_columns_with_the_result_at_the_end(compare: Command) -> None:
    done = compare("out/a", "out/b")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "A  a (tiny, direct, the reference)"
    assert "B against A: 2 fixed, 2 broken, 2 both right, 0 both wrong" in lines
    assert "  test/cat/1.png, gold cat" in lines
    assert "    B: cat" in lines
    assert lines[-3].startswith("Accuracy of B against A: 66.7 % → 66.7 %, 0.0 points, 95 %")
    assert [line.split() for line in lines if line.startswith("seed")] == [["seed", "0", "1"]]
    (row,) = (line for line in lines if line.startswith("accuracy"))
    assert row.split() == ["accuracy", "66.7", "%", "66.7", "%", "0.0", "−60.0", "to", "+60.0",
                           "1.000"]  # fmt: skip
    assert "\x1b" not in done.out


def test_three_to_six_runs_fit_too(compare: Command) -> None:
    done = compare("out/a", "out/b", "out/c")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "Holm p: adjusted over the 2 comparisons" in done.out
    for name in ("d", "e", "f"):
        compared.evaluated(Path(f"out/{name}"), B, compared.recipe(seed=ord(name)))
    done = compare(*(f"out/{name}" for name in "abcdef"))
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80


def test_lists_are_as_long_as_is_asked(compare: Command) -> None:
    one = compare("out/a", "out/b", "--show", "1").out
    assert one.count("  and 1 more, in --html and --json") == 2
    none = compare("out/a", "out/b", "--show", "0").out
    assert "gold" not in none
    assert "2 fixed, 2 broken" in none


def test_json_holds_everything_and_nothing_else_is_printed(compare: Command) -> None:
    done = compare("out/a", "out/b", "out/c", "--json")
    comparison = Comparison.model_validate_json(done.out)
    assert [len(one.fixed) for one in comparison.changes] == [2, 2]
    assert comparison.changes[0].broken[1].subject.text == B[-1]
    assert json.loads(done.out)["schema_version"] == 1
    assert done.err == ""
    headline = comparison.metric_of("headline")
    assert headline
    assert [round(v.value or 0, 3) for v in headline.values] == [0.667, 0.667, 1.0]
    assert comparison.metric_of("map") is None


def test_a_page_is_written_and_named(compare: Command) -> None:
    done = compare("out/a", "out/b", "--html", "c.html", "--show", "1")
    assert done.out.splitlines()[-1] == "page: c.html"
    assert Path("c.html").read_text("utf-8").count('src="data:image/png') == 2
    refused = compare("out/a", "out/b", "--html", "no/c.html")
    assert (refused.code, refused.out) == (1, "")
    assert (
        refused.err
        == "rftkit: --html no/c.html: no such folder; make it, or name a file elsewhere\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("out/a",), "out/a: alone, there is nothing to compare it with"),
        (("out/a", "nowhere"), "nowhere: not found; name a run"),
        (("out/a", "out/b", "--split", "val"), "out/a: no evaluation 'val' yet (there are: test)"),
        (("out/a", "out/b", "--decode", "choices"), "no score for 'cat'"),
        (("out/a", "out/b", "--base"), "no replies of the base model; run: rftkit eval --ckpt"),
    ],
)
def test_what_cannot_be_compared_ends_with_1_in_one_line(
    compare: Command, words: tuple[str, ...], message: str
) -> None:
    done = compare(*words)
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_evaluate_runs_the_evaluation_of_what_has_none(
    compare: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared.remove(Path("out/b/eval/val").parent)
    asked = []

    def evaluate(location: Path, request: object, console: object) -> None:
        asked.append((location, request.split))  # type: ignore[attr-defined]
        compared.evaluation(location / "eval/test", compared.replies(B))

    monkeypatch.setattr("rftkit.evaluation.run.evaluate_checkpoint", evaluate)
    assert compare("out/a", "out/b", "--evaluate").code == 0
    assert asked == [(Path("out/b"), None)]


def test_tab_offers_runs_and_evaluations(compare: Command) -> None:
    assert complete.evaluated("out/") == ["out/a", "out/b", "out/c"]
    assert complete.evaluated("out/a/eval/") == ["out/a/eval/test"]
    assert complete.runs("out/a/eval/") == ["out/a/eval/test/"]


def test_no_name_is_offered_that_a_shell_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bash puts what is offered into the line as it is; zsh evaluates it."""
    monkeypatch.chdir(tmp_path)
    fine = ["pets-1.0_b,c@d:e+f", "über"]
    shells = ["$(touch X)", r"\$(touch X)", "`id`", "a b", "a;id", "a'b", 'a"b', "a\nb", "~root"]
    for name in [*fine, *shells, "a*", "a?", "[a]", "a&b", "a|b", "a>b", "!!", "{a,b}", "#a"]:
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}", "utf-8")
        (folder.with_name(f"{name}.toml")).write_text("", "utf-8")
    assert complete.runs("out/") == [f"out/{name}" for name in sorted(fine)]
    toml = [name for name in complete.recipes("out/") if name.endswith(".toml")]
    assert toml == [f"out/{name}.toml" for name in sorted(fine)]
    assert complete.runs("out/$(touch X)/") == complete.runs("out/$") == []
    (tmp_path / "--share").mkdir()
    assert complete.runs("") == ["out/"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complete.runs("~/o") == ["~/out/"]


def test_python_gives_the_same(compare: Command) -> None:
    found = api.compare("out/a", api.Run("out/b"), html="page.html")
    assert found == Comparison.model_validate_json(compare("out/a", "out/b", "--json").out)
    assert Path("page.html").is_file()
    with pytest.raises(UserError, match="nothing to compare"):
        api.compare()
