"""The command line: verbs, exit codes, one-line errors, and how little `--help` loads.

Commands run through `rftkit.cli.main.main`, as the installed script does; a process of its own is
started only where a signal, the locale or what is imported is the point.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fakes
import pytest
from PIL import Image

from rftkit import files
from rftkit.cli import main as cli
from rftkit.core import Completion
from rftkit.errors import Interrupted, TrainingError
from rftkit.metrics.files import finish
from rftkit.metrics.samples import Header, Sample, Timing, header_line, sample_line, timing_line
from rftkit.metrics.scoring import derive
from rftkit.recipe.builtin import builtin_recipes
from rftkit.recipe.toml import dump_recipe, load_recipe
from rftkit.runs.adapter import write_card
from rftkit.runs.run import RunFolder

VERBS = (
    "train",
    "baseline",
    "eval",
    "check",
    "predict",
    "score",
    "recipes",
    "init",
    "runs",
    "report",
)
HEAVY = "torch transformers trl peft datasets gradio matplotlib sklearn scipy numpy PIL"


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def rftkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["rftkit", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return Done(int(caught.value.code or 0), written.out, written.err)

    return run


def process(*arguments: str, **more: str) -> Done:
    code = "import sys, rftkit.cli.main; sys.argv[0] = 'rftkit'; rftkit.cli.main.main()"
    environment = {**os.environ, **more}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("words", [("recipes",), ("recipes", "quickstart"), ("--help",)])
def test_a_reader_that_goes_ends_a_command_quietly(words: tuple[str, ...]) -> None:
    code = "import sys, rftkit.cli.main; sys.argv[0] = 'rftkit'; rftkit.cli.main.main()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=pipe, stderr=pipe) as begun:
        assert begun.stdout
        assert begun.stderr
        begun.stdout.close()  # as `head` does once it has its lines
        assert begun.stderr.read() == b""
    assert begun.returncode == 128 + signal.SIGPIPE


def refused(done: Done, *said: str, code: int = 1) -> None:
    """One line on standard error, no traceback."""
    assert done.code == code, done
    assert done.err.startswith("rftkit: ")
    assert done.err.count("\n") == 1
    assert done.err.endswith("\n")
    for words in said:
        assert words in done.err


def images(root: Path, count: int = 5) -> Path:
    for label in ("cat", "dog"):
        for number in range(count):
            path = root / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.frombytes("L", (24, 20), os.urandom(24 * 20)).save(path)
    return root


def evaluated(folder: Path, tuned_right: int = 1, cut: int = 0) -> RunFolder:
    """A finished run of four images: base is right on two, tuned on `tuned_right`."""
    run, recipe = RunFolder(folder), fakes.recipe()
    fakes.FakePolicy(fakes.never).save(run.adapter)
    write_card(run.adapter, recipe, ["cat", "dog"])
    run.resolved.write_text(dump_recipe(recipe))
    files.append_line(run.metrics, {"step": 200, "loss": 0.5, "rewards": {"accuracy": 0.5}})
    header = Header(task="classification", style="direct", labels=("cat", "dog"), expected=4)
    lines = [header_line(header)]
    for side, right in (("base", 2), ("tuned", tuned_right)):
        for number in range(4):
            made = {"side": side, "id": f"{number}.png", "image": f"{number}.png", "gold": "cat"}
            made["text"] = "cat" if number < right else "dog"
            finished = side == "base" or number >= cut
            lines.append(
                sample_line(derive(Sample.model_validate(made | {"finished": finished}), header))
            )
        lines.append(timing_line(Timing.model_validate(
            {"side": side, "seconds": 1.0, "samples": 4, "tokens": 8})))  # fmt: skip
    location = run.evaluations / "test"
    location.mkdir(parents=True)
    (location / "samples.jsonl").write_text("".join(lines), "utf-8")
    finish(location)
    run.set_status("finished", labels=["cat", "dog"], versions={"rftkit": "0"})
    return run


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_has_help(rftkit: Command, verb: str) -> None:
    done = rftkit(*filter(None, (verb, "--help")))
    assert (done.code, done.err) == (0, "")
    assert f"Usage: rftkit {verb or '[OPTIONS]'}" in done.out
    for name in VERBS if not verb else ():
        assert f" {name} " in done.out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, rftkit.cli.main\nsys.argv = ['rftkit', '--help']\n"
        "try:\n    rftkit.cli.main.main()\nfinally:\n"
        f"    print(*(m for m in {HEAVY.split()!r} if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"Usage: rftkit" in done.stdout
    assert done.stderr.split() == []


def test_the_version_is_printed(rftkit: Command) -> None:
    from rftkit import __version__

    assert rftkit("--version") == (0, f"rftkit {__version__}\n", "")


@pytest.mark.parametrize("arguments", [
    (), ("nope",), ("train",), ("train", "x", "--steps", "4"), ("eval",),
    ("eval", "--ckpt", "a", "--rescore", "b"), ("eval", "--ckpt", "a", "--limit", "0"),
    ("eval", "--ckpt", "a", "--style", "rhyme"), ("eval", "--ckpt", "a", "--max-invalid", "2"),
    ("eval", "--ckpt", "a", "--max-invalid", "nan"), ("eval", "--rescore", "a", "--limit", "2"),
    ("eval", "--ckpt", "a", "--no-base", "--fail-if-worse", "0.1"),
    ("baseline",), ("baseline", "quickstart", "--ckpt", "a"),
    ("baseline", "--ckpt", "a", "--set", "seed=1"),
    ("score", "--task", "poetry"), ("recipes", "--copy", "x.toml"), ("predict",),
])  # fmt: skip
def test_a_command_that_cannot_be_meant_exits_2(
    rftkit: Command, arguments: tuple[str, ...]
) -> None:
    done = rftkit(*arguments)
    assert done.code == 2
    assert "Usage: rftkit" in done.err + done.out
    assert "Traceback" not in done.err


def test_a_dry_run_prints_a_recipe_that_loads_again(rftkit: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[data]\nsource = "digits"\n')
    done = rftkit("train", "mine.toml", "--dry-run", "--set", "method.steps=7")
    assert (done.code, done.err) == (0, "")
    (tmp_path / "again.toml").write_text(done.out, "utf-8")
    recipe = load_recipe(tmp_path / "again.toml")
    assert recipe == load_recipe(tmp_path / "mine.toml", ["method.steps=7"])
    assert recipe.method.steps == 7
    assert rftkit("train", "again.toml", "--dry-run").out == done.out
    assert "mask_truncated = false" in done.out  # defaults are written out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.toml", "mine.toml"]


def test_a_recipe_that_is_not_there_is_guessed_at(rftkit: Command, tmp_path: Path) -> None:
    refused(rftkit("check", "quikstart"), "quikstart: neither a file nor", "did you mean 'quicks")
    (tmp_path / "pets.toml").touch()
    refused(rftkit("check", "pest"), "did you mean 'pets.toml'?")
    refused(rftkit("check", "pest.toml"), "pest.toml: not found; did you mean pets.toml?")
    refused(rftkit("check", "zzzzzz"), "`rftkit recipes` lists the built-in ones")
    refused(rftkit("recipes", "quikstart"), "did you mean 'quickstart'?")
    refused(rftkit("check", "x" * 300), "shorten the name")


def test_check_on_digits(rftkit: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'model.name = "tiny"\ndata.source = "digits"\ndata.shots = 2\neval.limit = 20\n'
    )
    done = rftkit("check", "mine.toml")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("mine.toml: the recipe is sound\nnext: rftkit train mine.toml\n")
    changed = rftkit("check", "mine.toml", "--set", "data.shots=1").out
    assert changed.endswith("next: rftkit train mine.toml --set data.shots=1\n")
    for said in (
        "prompt of digits:train:",
        "<think>",
        "earns accuracy 1, format 1",
        "20 training + 20 held-out images of 10 classes:",
        "  7: 2 + 2",
        "sizes: 56×56 to 56×56",
        "every gold answer earns full marks in style 'think'",
    ):
        assert said in done.out
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.toml"]


def test_init_writes_a_recipe_that_check_accepts(rftkit: Command, tmp_path: Path) -> None:
    images(tmp_path / "my pets")
    done = rftkit("init", "my pets")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "8 images to train on, 2 to test on",
        "2 classes: cat, dog",
        "fewest training images: 4, of 'cat'",
        "my pets/: no split is given: one image in 5 of each class is held out (fixed seed 0)",
        "wrote my pets.toml: task classification",
        "next: rftkit check 'my pets.toml'",
    ]
    before = (tmp_path / "my pets.toml").read_bytes()
    checked = rftkit("check", "my pets.toml")
    assert (checked.code, checked.err) == (0, "")
    assert "8 training + 2 held-out images of 2 classes" in checked.out
    assert "24×20 to 24×20" in checked.out
    assert "no image is both trained and tested on" in checked.out
    refused(rftkit("init", "my pets"), "my pets.toml: is there already; name another file")
    assert (tmp_path / "my pets.toml").read_bytes() == before
    assert "\nwrote b.toml: " in rftkit("init", "my pets", "--out", "b.toml").out
    refused(rftkit("init", "none"), "none: no such file or folder")
    refused(rftkit("init", "my pets", "--out", "none/b.toml"), "none/b.toml: cannot be written")


def test_check_names_what_is_wrong_with_the_data(rftkit: Command, tmp_path: Path) -> None:
    images(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"<html>")
    (tmp_path / "mine.toml").write_text('[data]\nsource = "folder"\npath = "pets"\n')
    refused(rftkit("check", "mine.toml"), "1.png")
    refused(rftkit("check", "mine.toml", "--set", "data.path=none"), "none: no such folder")
    refused(rftkit("check", "mine.toml", "--set", "data.shots=9"), "9")


def test_a_recipe_to_test_with_is_checked_without_a_training_split(
    rftkit: Command, tmp_path: Path
) -> None:
    table = ["image,question,answer", "pets/cat/1.png,How many?,1", "pets/dog/1.png,How many?,2"]
    images(tmp_path / "pets")
    (tmp_path / "test.csv").write_text("\n".join(table))
    (tmp_path / "mine.toml").write_text(
        'task = "number"\n[data]\nsource = "csv"\npath = "{split}.csv"\nsplits = ["", "test"]\n'
    )
    done = rftkit("check", "mine.toml")
    assert (done.code, done.err) == (0, "")
    assert "0 training + 2 held-out images" in done.out
    assert done.out.endswith("mine.toml: the recipe is sound\n")  # there is nothing to train on
    assert "prompt of pets/cat/1.png" in done.out
    assert "note: no training split is named, so only 'test' was checked; test with it" in done.out
    assert "both trained and tested" not in done.out
    refused(rftkit("train", "mine.toml"), "data.splits: the training split has no name", "--data")


def test_the_schema_alone_is_checked_without_data(rftkit: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[data]\nsource = "folder"\npath = "not here yet"\n')
    done = rftkit("check", "mine.toml", "--schema-only")
    assert done == (0, "mine.toml: the recipe is sound\n", "")
    refused(rftkit("check", "mine.toml"), "not here yet: no such folder; set data.path")
    refused(
        rftkit("check", "mine.toml", "--schema-only", "--set", "sede=1"),
        "mine.toml: sede: unknown key; did you mean 'seed'?",
    )


def test_a_hub_that_cannot_be_reached_is_said_without_trying_again(
    rftkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    for name in ("https_proxy", "HTTPS_PROXY"):  # nothing listens there: as good as no network
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "mine.toml").write_text('[data]\nsource = "hub"\npath = "someone/nothing"\n')
    offline, load = list[bool](), datasets.load_dataset_builder

    def watched(*arguments: object, **more: object) -> object:
        offline.append(datasets.config.HF_HUB_OFFLINE)
        return load(*arguments, **more)

    monkeypatch.setattr(datasets, "load_dataset_builder", watched)
    done = rftkit("check", "mine.toml")
    assert offline == [True]  # else it tries again and again, for half a minute
    assert done.code == 4  # neither sound nor broken: a gate must not pass on what nobody looked at
    assert done.out == ""
    unread = "rftkit: its data were not read: someone/nothing: the hub cannot be reached; go online"
    assert done.err.startswith(unread)
    assert done.err.count("\n") == 1
    assert datasets.config.HF_HUB_OFFLINE is False


def test_the_built_in_recipes_are_listed_printed_and_copied(
    rftkit: Command, tmp_path: Path
) -> None:
    known = builtin_recipes()
    assert "quickstart" in known
    listed = rftkit("recipes")
    assert listed.code == 0
    for name in known:
        assert name in listed.out
    text = known["quickstart"].read_text("utf-8")
    assert rftkit("recipes", "quickstart").out == text
    assert rftkit("recipes", "quickstart", "--copy", "mine.toml").out == "wrote mine.toml\n"
    assert (tmp_path / "mine.toml").read_text("utf-8") == text
    refused(rftkit("recipes", "quickstart", "--copy", "mine.toml"), "is there already")
    (tmp_path / "folder").mkdir()
    done = rftkit("recipes", "recipes/quickstart.toml", "--copy", "folder")
    assert done.out == "wrote folder/quickstart.toml\n"


def test_completions_are_scored_from_standard_input(rftkit: Command) -> None:
    lines = [
        {"completion": "<think>ears</think><answer>cat</answer>", "gold": "cat"},
        {"completion": "cat", "gold": "cat"},
    ]
    done = rftkit("score", stdin="".join(json.dumps(line) + "\n" for line in lines).encode())
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"answer": "cat", "rewards": {"accuracy": 1.0, "format": 1.0}},
        {"answer": None, "rewards": {"accuracy": 0.0, "format": 0.0}},
    ]
    direct = rftkit("score", "--style", "direct", stdin=json.dumps(lines[1]).encode())
    assert json.loads(direct.out) == {"answer": "cat", "rewards": {"accuracy": 1.0}}
    paper = rftkit("score", "--rules", "paper", stdin=json.dumps(lines[1]).encode())
    assert json.loads(paper.out)["rewards"]["accuracy"] == 1.0
    refused(rftkit("score", stdin=b'{"gold": 3}\n'), "standard input:1: no completion")
    for nothing in (b"", b"\n \n"):
        done = rftkit("score", stdin=nothing)
        assert (done.code, done.out, done.err.count("\n")) == (0, "", 1)
        assert done.err.startswith("standard input: no completions")
    refused(rftkit("score", stdin=b"\n\xff\xfe\n"), "standard input:2: not UTF-8")


def test_a_folder_without_runs_says_how_to_start_one(rftkit: Command, tmp_path: Path) -> None:
    refused(rftkit("runs"), "out: no runs; start one with `rftkit train quickstart`")
    (tmp_path / "out").mkdir()
    refused(rftkit("runs"), "out: no runs")
    assert rftkit("runs", "--json") == (0, "[]\n", "")
    refused(rftkit("report", "out"), "out: no run there; `rftkit runs` lists them")


def test_runs_are_listed_with_what_they_reached(rftkit: Command, tmp_path: Path) -> None:
    evaluated(tmp_path / "out" / "good", tuned_right=3)
    evaluated(tmp_path / "out" / "bad").resolved.write_text("seed = ")
    done = rftkit("runs", "--json")
    rows = {row["run"]: row for row in json.loads(done.out)}
    assert rows["good"] == {
        "run": "good",
        "state": "finished",
        "model": "tiny",
        "method": "grpo think",
        "step": "200/200",
        "metric": "accuracy",
        "base": "50.0 %",
        "tuned": "75.0 %",
    }
    assert rows["bad"]["state"] == "unreadable"  # and does not hide the other
    table = rftkit("runs")
    assert table.code == 0
    assert "accuracy" in table.out
    assert "75.0 %" in table.out


def test_runs_are_told_apart_at_eighty_columns(
    rftkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["quickstart-direct-16shots-seed0", "quickstart-direct-16shots-seed1"]
    for name in names:
        evaluated(tmp_path / "out" / name, tuned_right=3)
    evaluated(tmp_path / "out" / "bad").resolved.write_text("seed = ")
    monkeypatch.setenv("COLUMNS", "80")
    lines = rftkit("runs").out.splitlines()
    assert all(len(line) <= 80 for line in lines[:4])
    for name in names:
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert "finished" in line
        assert "75.0 %" in line
    (why,) = (line for line in lines if line.startswith("bad: "))  # whole, below the table
    assert "resolved.toml" in why


def test_a_strangers_run_does_not_steer_the_terminal(rftkit: Command, tmp_path: Path) -> None:
    run = evaluated(tmp_path / "out" / "red\x1b[31m")
    before = run.status()
    for key, value in (("state", "done\x1b[2J"), ("labels", ["a\x1b]8;;http://x\x07", 5])):
        run.status_file.write_text(json.dumps(before | {key: value}), "utf-8")
        table = rftkit("runs")
        assert table.code == 0
        assert "\x1b" not in table.out
        assert "\x07" not in table.out
        assert "red\\x1b[31m" in table.out
        assert "unreadable" in table.out
        assert "run.json: damaged (" in table.out


def test_a_report_is_written_anew(rftkit: Command, tmp_path: Path) -> None:
    run = evaluated(tmp_path / "out" / "my pets", tuned_right=3)
    done = rftkit("report", "out")
    assert (done.code, done.err) == (0, "")
    assert "next: rftkit predict IMAGE --ckpt 'out/my pets'" in done.out  # a run of before
    Image.new("RGB", (8, 8)).save(run.example)
    done = rftkit("report", "out")
    assert "next: rftkit predict 'out/my pets/example.png' --ckpt 'out/my pets'\n" in done.out
    assert run.report.read_text("utf-8").startswith("<!doctype html>")


def test_the_name_of_a_folder_steers_no_terminal(rftkit: Command, tmp_path: Path) -> None:
    evaluated(tmp_path / "out" / "red\x1b[31m\x9b")
    done = rftkit("report", "out")
    assert done.code == 0
    assert r"report: out/red\x1b[31m\x9b/report.html" in done.out
    assert "\x1b" not in done.out + done.err
    assert "\x9b" not in done.out + done.err


def test_a_page_that_somebody_reads_stays_whole_while_it_is_written_anew(
    rftkit: Command, tmp_path: Path
) -> None:
    run = evaluated(tmp_path / "out" / "pets")
    pages = (run.report, run.evaluations / "test" / "report.html")
    for page in pages:
        page.write_text("the old page", "utf-8")
    with pages[0].open("rb") as first, pages[1].open("rb") as second:
        assert rftkit("report", "out").code == 0
        assert (first.read(), second.read()) == (b"the old page", b"the old page")
    assert pages[0].read_bytes() == pages[1].read_bytes() != b"the old page"


def test_rescoring_equals_the_summary_to_the_byte(rftkit: Command, tmp_path: Path) -> None:
    location = evaluated(tmp_path / "out" / "pets").evaluations / "test"
    before = (location / "summary.json").read_bytes()
    done = rftkit("eval", "--rescore", str(location / "samples.jsonl"), "--json")
    assert (done.code, done.err, done.out.encode()) == (0, "", before)
    assert (location / "summary.json").read_bytes() == before
    people = rftkit("eval", "--rescore", str(location / "samples.jsonl"))
    assert "accuracy" in people.out
    refused(rftkit("eval", "--rescore", "none.jsonl"), "--rescore none.jsonl: no such file")


@pytest.mark.parametrize(("ignored", "named"), [
    (["--engine", "vllm"], "--engine"), (["--engine", "transformers"], "--engine"),
    (["--no-base"], "--base/--no-base"), (["--base"], "--base/--no-base"),
    (["--split", "val"], "--split"), (["--data", "x.csv"], "--data"),
    (["--limit", "2"], "--limit"), (["--style", "direct"], "--style"),
])  # fmt: skip
def test_rescoring_refuses_what_it_would_ignore(
    rftkit: Command, tmp_path: Path, ignored: list[str], named: str
) -> None:
    samples = evaluated(tmp_path / "out" / "pets").evaluations / "test" / "samples.jsonl"
    done = rftkit("eval", "--rescore", str(samples), *ignored)
    assert (done.code, done.out) == (2, "")
    assert f"--rescore reads a file as it is; leave out {named}" in " ".join(done.err.split())


@pytest.mark.parametrize(("tuned_right", "cut", "gates", "broken"), [
    (1, 0, ["--fail-if-worse", "0.1"], "accuracy fell by 25.0 points; 10.0 allowed"),
    (1, 0, ["--fail-if-worse", "0.25"], ""),
    (3, 0, ["--fail-if-worse", "0"], ""),
    (3, 2, ["--max-invalid", "0.4"], "50.0 % of the replies are invalid; 40.0 % allowed"),
    (3, 2, ["--max-invalid", "0.5"], ""),
])  # fmt: skip
def test_gates_decide_the_exit_code(
    rftkit: Command, tmp_path: Path, tuned_right: int, cut: int, gates: list[str], broken: str
) -> None:
    run = evaluated(tmp_path / "out" / "pets", tuned_right, cut)
    samples = str(run.evaluations / "test" / "samples.jsonl")
    done = rftkit("eval", "--rescore", samples, "--json", *gates)
    assert json.loads(done.out)["schema_version"] == 1  # the result is printed all the same
    if broken:
        refused(done, broken)
    else:
        assert (done.code, done.err) == (0, "")


def test_a_checkpoint_that_is_not_there_is_one_line(rftkit: Command, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "x.png")
    refused(rftkit("eval", "--ckpt", "out"), "--ckpt out: no such folder on this machine; name")
    refused(rftkit("predict", "x.png", "--ckpt", "out"), "--ckpt out: no such folder")
    refused(rftkit("predict", "none.png", "--ckpt", "out"), "none.png")


@pytest.mark.parametrize(("trouble", "code", "said"), [
    (KeyboardInterrupt(), 130, "stopped"),
    (Interrupted(signal.SIGTERM, "stopped; continue with: rft"), 143, "stopped; continue with: r"),
    (TrainingError("step 3: loss is nan"), 3, "step 3: loss is nan"),
    (OSError(errno.ENOSPC, "No space left on device", "out/x"), 1, "out/x: No space left on dev"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "m.jsonl"), 1, "m.jsonl: Is a directory; "),
    (OSError(errno.ELOOP, "Too many links", "a"), 1, "a: Too many links; it is a link that leads"),
    (OSError(errno.EFBIG, "File too large"), 1, "File too large; raise `ulimit -f`"),
    (OSError(errno.EIO, "Input/output error"), 1, "Input/output error; the disk cannot be read"),
    (RuntimeError('Error while serializing: I/O error: File too large (os error 27)'), 1,
     "File too large; raise `ulimit -f`"),
    (MemoryError(), 1, "MemoryError: this process gets no more memory; close other programs"),
    (RuntimeError("can't start new thread"), 1, "can't start new thread: this process gets no"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "Cannot allocate memory; close other"),
    (OSError(errno.EROFS, "Read-only file system"), 1, "Read-only file system; name a folder"),
    (PermissionError(errno.EACCES, "Permission denied", "out"), 1, "out: Permission denied; check"),
    (TrainingError("red \x1b[31m\nand more"), 3, "red \\x1b[31m and more"),
])  # fmt: skip
def test_what_stops_a_command_is_one_line_and_a_code(
    rftkit: Command, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, code: int, said: str
) -> None:
    def stop(*_: object) -> None:
        raise trouble

    monkeypatch.setattr("rftkit.recipe.builtin.show_recipes", stop)
    refused(rftkit("recipes"), said, code=code)


@pytest.mark.parametrize("trouble", [OSError(errno.EINVAL, "invalid"), ZeroDivisionError()])
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, trouble: Exception) -> None:
    def stop(*_: object) -> None:
        raise trouble

    monkeypatch.setattr("rftkit.recipe.builtin.show_recipes", stop)
    monkeypatch.setattr(sys, "argv", ["rftkit", "recipes"])
    with pytest.raises(type(trouble)):
        cli.main()


def test_ctrl_c_ends_with_one_line_and_130(tmp_path: Path) -> None:
    code = (  # a shell that starts the tests in the background has SIGINT ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys, rftkit.cli.main; sys.argv = ['rftkit', 'score']; rftkit.cli.main.main()"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert waiting.stdin
    assert waiting.stdout
    waiting.stdin.write(b'{"completion": "x", "gold": "x"}\n' * 2000)  # more than a buffer of it
    waiting.stdin.flush()
    waiting.stdout.read(1)
    waiting.send_signal(signal.SIGINT)
    err = waiting.communicate(timeout=300)[1]
    assert (waiting.returncode, err) == (130, b"rftkit: stopped\n")


def test_the_c_locale_and_a_narrow_terminal_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "é ö.toml"
    path.write_text('[data]\nsource = "digits"\nsohts = 4\n')
    done = process("check", str(path), LC_ALL="C", COLUMNS="40", HOME="/nonexistent", TERM="dumb")
    refused(done, "é ö.toml: data.sohts: unknown key; did you mean 'shots'?")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_generated(shell: str) -> None:
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = process("--show-completion", shell, **told)
    assert (done.code, done.err) == (0, "")
    assert "_RFTKIT_COMPLETE=complete_" in done.out


def test_a_half_typed_verb_is_completed() -> None:
    done = process(_RFTKIT_COMPLETE="complete_bash", COMP_WORDS="rftkit rep", COMP_CWORD="1")
    assert (done.code, done.out.split()) == (0, ["report"])


def test_predict_prints_for_people_and_for_programs(
    rftkit: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = "<think>two\nears \x1b[31m</think><answer>Cat</answer>"
    policy = fakes.FakePolicy(lambda *_: Completion(said, 9))
    monkeypatch.setattr("rftkit.inference.predict.open_for_inference", lambda *_: policy)
    evaluated(tmp_path / "out" / "pets")
    Image.new("RGB", (9, 9)).save(tmp_path / "x.png")
    people = rftkit("predict", "x.png", "--ckpt", "out")
    assert people.out == "x.png: cat (by list, 73% uncalibrated)  (two ears \\x1b[31m)\n"
    assert people.err == "newest run: out/pets\n"
    found = json.loads(rftkit("predict", "x.png", "--ckpt", "out/pets", "--json").out)
    assert found == {
        "image": "x.png",
        "answer": "cat",
        "off_the_list": False,
        "free_answer": "cat",
        "probabilities": {"cat": 0.731059, "dog": 0.268941},
        "calibrated": False,
        "confidence": 0.731059,
        "abstained": False,
        "reasoning": "two\nears \x1b[31m",
        "text": said,
        "tokens": 9,
        "finished": True,
    }
    free = rftkit("predict", "x.png", "--ckpt", "out/pets", "--free")
    assert free.out == "x.png: cat  (two ears \\x1b[31m)\n"
    refused(rftkit("predict", "x.png", "--ckpt", "out/pets", "--abstain-at-error", "0.05"),
            "has no calibration.json")  # fmt: skip


def test_predict_goes_on_past_a_bad_image(
    rftkit: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = fakes.FakePolicy(lambda *_: Completion("<answer>cat</answer>", 3))
    monkeypatch.setattr("rftkit.inference.predict.open_for_inference", lambda *_: policy)
    evaluated(tmp_path / "out" / "pets")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no image")
    done = rftkit("predict", "*.png", "none.png", "--ckpt", "out/pets", "--out", "answers")
    assert done.code == 1
    assert done.out.startswith("good.png: cat")
    assert done.err.splitlines() == [
        "bad.png: text, not an image; replace the file or take it out of the data",
        "none.png: no such file; check the path",
        "written: answers",
        "rftkit: 2 of 3 images could not be read: bad.png, none.png",
    ]
    table = (tmp_path / "answers" / "predictions.csv").read_text("utf-8").splitlines()
    assert [line.partition(",")[0] for line in table] == [
        "image",
        "bad.png",
        "good.png",
        "none.png",
    ]
    programs = rftkit("predict", "bad.png", "good.png", "--ckpt", "out/pets", "--json")
    found = [json.loads(line) for line in programs.out.splitlines()]
    assert [one.get("answer") for one in found] == [None, "cat"]
    assert found[0]["error"].startswith("bad.png: text")


def test_an_output_that_knows_no_unicode_gets_question_marks() -> None:
    done = process("check", "quickstart", PYTHONIOENCODING="ascii")
    assert done.code == 0, done.err
    assert "56?56" in done.out
