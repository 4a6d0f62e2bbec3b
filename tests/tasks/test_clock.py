"""Reading a clock: times as text, distance on the dial, and the whole path on drawn clocks."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from rftkit.answers.replies import INSTRUCTIONS
from rftkit.cli.main import main
from rftkit.core import Attempt, Completion, NoImage, Row, Style
from rftkit.data.images import FileImage
from rftkit.errors import DataError, UserError
from rftkit.inference.form import Setup, ask
from rftkit.inference.question import prompts
from rftkit.inference.truth import TruthError
from rftkit.metrics.completions import score_lines
from rftkit.metrics.files import read_summary
from rftkit.recipe.toml import load_recipe
from rftkit.tasks import clock
from rftkit.tasks.question import Question
from rftkit.tasks.reading import Reading
from rftkit.tasks.task import Scored

TASK = clock.TASK
RECIPE = """
task = "clock"
style = "direct"
data = { source = "csv", path = "clocks.csv", shots = 0 }
model = { name = "tiny" }
method = { steps = 1, batch_size = 2, group_size = 2, max_new_tokens = 8, learning_rate = 1e-3 }
rewards = { accuracy = 1.0, close = 1.0 }
"""


def attempt(answer: str, gold: str = "07:35", style: Style = "direct") -> Attempt:
    (example,) = TASK.read(Row("t:1", NoImage(), {"answer": gold}), Reading(clock.ClockOptions()))
    return TASK.attempt(example, style, Completion(answer))


@pytest.mark.parametrize(
    ("answer", "off", "close"),
    [
        ("07:35", 0, 1.0),
        ("7:35 am", 0, 1.0),
        ("19:35", 0, 1.0),
        ("07:40", 5, 1 - 5 / 360),
        ("08:35", 60, 1 - 60 / 360),
        ("01:35", 360, 0.0),
        ("half past seven", None, 0.0),
        ("07:35 or 08:35", None, 0.0),
        ("07:95", None, 0.0),
        ("", None, 0.0),
    ],
)
def test_an_answer_is_graded_by_the_distance_on_the_dial(
    answer: str, off: int | None, close: float
) -> None:
    made = attempt(answer)
    assert clock.minutes_off(made) == off
    assert clock.close(made) == pytest.approx(close)
    assert clock.exact(made) == float(off == 0)


def test_the_way_round_is_the_shorter_one() -> None:
    assert clock.minutes_off(attempt("12:05", "11:55")) == 10
    assert clock.minutes_off(attempt("11:55", "12:05")) == 10


def test_a_tolerance_pays_what_is_near() -> None:
    paid = clock.scheduled_rewards(clock.ClockOptions(tolerance=5), 1.0)["accuracy"]
    assert [paid(attempt(text)) for text in ("07:40", "07:41", "07:30")] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("value", ["", None, "noon", "25:00", "7.5", 735])
def test_a_row_without_a_time_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"t:1: answer .* is no time; write it as 07:35"):
        TASK.read(Row("t:1", NoImage(), {"answer": value}), Reading(clock.ClockOptions()))


def test_metrics_are_minutes_off_and_what_is_near() -> None:
    scored = [Scored(attempt(text), 0.0) for text in ("07:35", "07:39", "08:35", "?")]
    off, near = TASK.metrics(scored)
    assert (off.name, off.value, off.n, off.unit) == ("minutes_off", 64 / 3, 3, "number")
    assert (near.name, near.value, near.n) == ("within_five_minutes", 0.5, 4)
    none, _ = TASK.metrics([Scored(attempt("?"), 0.0)])
    assert none.value is None


def drawn(minutes: int) -> Image.Image:
    """A dial of 56 × 56 pixels: the hour hand short and thick, the minute hand long and thin."""
    image = Image.new("RGB", (56, 56), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((2, 2, 53, 53), outline="black")
    for turn, length, width in ((minutes / 720, 13, 3), (minutes % 60 / 60, 22, 1)):
        angle = 2 * math.pi * turn
        end = (28 + length * math.sin(angle), 28 - length * math.cos(angle))
        draw.line((28, 28, *end), fill="black", width=width)
    return image


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """clocks.csv with 16 drawn clocks, every fourth to be tested on, and a recipe beside it."""
    monkeypatch.chdir(tmp_path)
    lines = ["image,time,split"]
    for number in range(16):
        minutes = number * 47 % 720
        drawn(minutes).save(tmp_path / f"{number}.png")
        split = "train" if number % 4 else "test"
        lines.append(f"{number}.png,{clock.spelled(minutes)},{split}")
    (tmp_path / "clocks.csv").write_text("\n".join(lines) + "\n", "utf-8")
    columns = 'data = { columns = { label = "time" }, source'
    (tmp_path / "clocks.toml").write_text(RECIPE.replace("data = { source", columns), "utf-8")
    return tmp_path


def rftkit(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["rftkit", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_drawn_clocks_are_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rftkit(monkeypatch, "check", "clocks.toml") == 0
    told = capsys.readouterr().out
    assert "What time does this clock show?" in told
    assert "12 training + 4 held-out images" in told
    assert "every gold answer earns full marks in style 'direct'" in told


def test_nothing_cheap_earns_what_the_time_earns(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rftkit(monkeypatch, "score", "--attack", "clocks.toml") == 0
    assert "all answers at once" in capsys.readouterr().out


def test_a_completion_is_scored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = json.dumps({"completion": "8:35", "gold": "07:35"})
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n"))
    assert rftkit(monkeypatch, "score", "--task", "clock", "--style", "direct") == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["answer"] == "08:35"
    assert scored["rewards"] == {"accuracy": 0.0, "close": pytest.approx(5 / 6)}


def test_no_paper_scores_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"completion": "8:35", "gold": "07:35"})
    with pytest.raises(UserError, match=r"^--rules: no paper .* task 'clock'; .* strict"):
        [*score_lines([line], "clock", "direct", "paper")]


@pytest.mark.parametrize(("truth", "gold"), [("", ""), ("7:35", "07:35"), ("19.35", "07:35")])
def test_the_app_asks_and_takes_the_right_answer(folder: Path, truth: str, gold: str) -> None:
    setup = Setup(load_recipe(folder / "clocks.toml"), ())
    form = replace(setup.form("clock"), truth=truth)
    asked = ask(form, setup, FileImage(folder / "0.png", "0.png"))
    assert asked.prompt == f"{clock.QUESTION}\n{clock.SHAPE}\n{INSTRUCTIONS['direct']}"
    assert (asked.example.gold, asked.has_truth) == (gold, bool(gold))
    with pytest.raises(TruthError, match=r"^the answer you gave: answer 'noon' is no time; write"):
        ask(replace(form, truth="noon"), setup, FileImage(folder / "0.png", "0.png"))


def test_a_question_of_ones_own_is_refused_in_a_line(folder: Path) -> None:
    recipe = load_recipe(folder / "clocks.toml")
    with pytest.raises(UserError, match="--question: the task 'clock' asks its own; leave it out"):
        prompts(recipe, (), Question("Is it late?"))


@pytest.mark.slow
def test_a_run_on_drawn_clocks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rftkit(monkeypatch, "train", "clocks.toml", "--out", "run") == 0
    summary = read_summary(folder / "run" / "eval" / "test")
    assert summary.tuned
    assert [measure.name for measure in summary.tuned.metrics] == [
        "minutes_off",
        "within_five_minutes",
    ]
    page = (folder / "run" / "report.html").read_text("utf-8")
    assert "within five minutes" in page
    assert "Exact times only" in page
    assert "strict and paper disagree" not in page
    assert summary.tuned.scoring.paper == {}
    assert summary.tuned.scoring.strict_vs_paper is None
    capsys.readouterr()
    assert rftkit(monkeypatch, "predict", "0.png", "--ckpt", "run", "--json") == 0
    assert "answer" in json.loads(capsys.readouterr().out)
