"""What `--log wandb` writes, read back from the real package's own file; it never asks anything."""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import fakes
import pytest
import wandb_file
import wandb_stub
from rich.console import Console

from rftkit.core import Example
from rftkit.errors import RecipeError, UserError
from rftkit.metrics.files import Evaluation, finish
from rftkit.metrics.samples import Header, Sample, header_line, sample_line
from rftkit.metrics.scoring import derive
from rftkit.runs.run import RunFolder
from rftkit.training.request import TrainRequest
from rftkit.training.trackers.opening import tracking
from rftkit.training.trackers.tracker import NO_TRACKER, Outcome, Rollout

wandb = pytest.importorskip("wandb")
RECIPE = fakes.recipe(
    data={"source": "csv", "path": "/home/anna/secret/pets.csv", "shots": 1}, style="direct"
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is logged in, nobody can be asked."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("it asks"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    yield
    from wandb.sdk.lib.wbauth import unauthenticate_session

    unauthenticate_session()
    wandb.teardown()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "pets")
    found.folder.mkdir()
    found.set_status("running")
    return found


def heard() -> Console:
    return Console(file=io.StringIO(), width=400)


def said(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def rollout(name: str, text: str, accuracy: float) -> Rollout:
    return Rollout(name, fakes.BlankImage(name), "Which?", text, "cat", {"accuracy": accuracy})


def evaluated(run: RunFolder) -> Outcome:
    """Four images: base is right on two, fine-tuned on three."""
    header = Header(task="classification", style="direct", labels=("cat", "dog"), expected=4)
    lines = [header_line(header)]
    for side, right in (("base", 2), ("tuned", 3)):
        for number in range(4):
            text = "cat" if number < right else "dog"
            made = {"side": side, "id": f"{number}", "image": f"{number}.png", "gold": "cat"}
            sample = Sample.model_validate(made | {"text": text, "finished": True})
            lines.append(sample_line(derive(sample, header)))
    folder = run.evaluations / "test"
    folder.mkdir(parents=True)
    (folder / "samples.jsonl").write_text("".join(lines), "utf-8")
    run.report.write_text("<h1>pets</h1>", "utf-8")
    examples = [Example(f"{n}", fakes.BlankImage(f"{n}"), "Which?", "cat") for n in range(4)]
    return Outcome(run, Evaluation(folder, finish(folder)), examples)


def test_rewards_rollouts_evaluation_and_report_are_in_the_offline_run(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    console = heard()
    with tracking("wandb", run, RECIPE, console) as tracker:
        tracker.step({"step": 1, "loss": 0.5, "rewards": {"accuracy": 0.25, "format": 1.0}})
        tracker.rollouts(1, [rollout("a.png", "dog", 0.0), rollout("b.png", "cat", 1.0)])
        tracker.step({"step": 2, "loss": 0.25, "validation": 0.75})
        tracker.outcome(evaluated(run))
    (logged,) = wandb_file.read(run.folder)
    assert (logged.exit_code, logged.project) == (0, "rftkit")
    first, table, second, *_ = logged.history
    assert (first["step"], first["loss"], first["rewards/accuracy"]) == (1, 0.5, 0.25)
    assert (table["step"], table["rollouts/nrows"]) == (1, 2)
    assert (second["step"], second["validation"]) == (2, 0.75)
    summary = logged.summary
    assert (summary["base/accuracy"], summary["tuned/accuracy"]) == (0.5, 0.75)
    assert summary["tuned/accuracy/low"] < 0.75 < summary["tuned/accuracy/high"]
    assert summary["difference/value"] == 0.25
    assert summary["headline"].startswith("The test set is too small to tell")
    (report,) = (run.folder / "wandb").glob("offline-*/files/media/html/report_*.html")
    assert report.read_text("utf-8") == "<h1>pets</h1>"
    line = f"W&B: offline, WANDB_MODE says so; `wandb sync {run.folder}/wandb/offline-run-"
    assert line in said(console)


def test_tables_have_images_that_wait_in_the_run_folder(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracking("wandb", run, RECIPE, heard()) as tracker:
        tracker.rollouts(5, [rollout("a.png", "dog", 0.0)])
        tracker.outcome(evaluated(run))
    (logged,) = wandb_file.read(run.folder)
    table = logged.table("rollouts")
    columns = ["step", "id", "image", "prompt", "completion", "gold", "accuracy"]
    assert table["columns"] == columns
    ((step, name, image, *rest),) = table["data"]
    assert (step, name, rest) == (5, "a.png", ["Which?", "dog", "cat", 0.0])
    assert (image["width"], image["height"]) == (8, 8)
    held_out = logged.table("held_out")
    assert [row[0] for row in held_out["data"]] == ["2", "0", "1", "3"]  # what changed comes first
    assert held_out["data"][0][2:] == ["cat", "dog", 0, "cat", 1]
    files = {path for found in logged.artifacts.values() for path in found.values()}
    assert len(files) >= 4
    assert {path for path in files if not path.is_relative_to(run.folder)} == set()
    assert {path for path in files if not path.is_file()} == set()
    assert "WANDB_DATA_DIR" not in os.environ


def test_a_resumed_run_goes_on_under_its_id(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with suppress(KeyboardInterrupt), tracking("wandb", run, RECIPE, heard()) as tracker:
        tracker.step({"step": 1, "loss": 0.5})
        raise KeyboardInterrupt
    known = run.status()["wandb"]
    run.set_status("stopped")
    with tracking("wandb", run, RECIPE, heard()) as tracker:
        tracker.step({"step": 1, "loss": 0.4})
    assert run.status()["wandb"] == known
    logged = {one.exit_code: one for one in wandb_file.read(run.folder)}
    assert {code: one.id for code, one in logged.items()} == {0: known, 1: known}
    assert logged[0].history[0]["loss"] == 0.4


def test_what_is_told_of_the_recipe_names_no_folder(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracking("wandb", run, RECIPE, heard()):
        pass
    (logged,) = wandb_file.read(run.folder)
    assert logged.config["data"]["path"] == "pets.csv"
    assert "anna" not in json.dumps(logged.config)


def test_without_a_login_the_run_is_kept_offline_and_nobody_is_asked(run: RunFolder) -> None:
    console = heard()
    with tracking("wandb", run, RECIPE, console) as tracker:
        tracker.step({"step": 1, "loss": 0.5})
    assert said(console).startswith("W&B: offline, nobody is logged in: `wandb login`; `wandb sync")
    assert wandb_file.read(run.folder)[0].history[0]["loss"] == 0.5


@pytest.mark.parametrize("place", ["current folder", "run folder"])
def test_settings_of_a_stranger_send_the_key_nowhere(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """W&B reads `wandb/settings` of the current folder, which may be that of somebody's data."""
    here = tmp_path / "data" if place == "current folder" else run.folder
    (here / "wandb").mkdir(parents=True)
    monkeypatch.chdir(tmp_path if place == "run folder" else here)
    (here / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n", "utf-8")
    with tracking("wandb", run, RECIPE, heard()) as tracker:
        tracker.step({"step": 1, "loss": 0.5})
        assert "127.0.0.1" not in wandb.setup().settings.base_url
        assert "127.0.0.1" not in wandb.run.settings.base_url


@pytest.mark.parametrize("place", ["data", "run-1/files/media", "debug.log"])
def test_links_out_of_its_folder_are_refused(run: RunFolder, tmp_path: Path, place: str) -> None:
    link = run.folder / "wandb" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "thesis")
    with pytest.raises(UserError) as refused, tracking("wandb", run, RECIPE, heard()):
        pytest.fail("it logs")
    assert str(refused.value).startswith(f"{link}: is a link that leaves {run.folder / 'wandb'}; ")
    assert "wandb" not in run.status()


def test_a_hidden_folder_of_the_run_takes_nothing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B prefers `.wandb` where there is one."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    (run.folder / ".wandb").mkdir()
    with tracking("wandb", run, RECIPE, heard()) as tracker:
        tracker.step({"step": 1, "loss": 0.5})
    assert list((run.folder / ".wandb").iterdir()) == []
    (logged,) = wandb_file.read(run.folder)
    assert logged.history[0]["loss"] == 0.5


@pytest.mark.parametrize("known", ["../x", "", " a", "a:b", "a\x1b[2Jb", "a" * 200])
def test_an_id_that_is_none_is_one_line(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run.set_status("stopped", wandb=known)
    with pytest.raises(UserError) as refused, tracking("wandb", run, RECIPE, heard()):
        pytest.fail("it logs")
    said_so = str(refused.value)
    assert said_so.startswith(f"{run.status_file}: wandb is ")
    assert "\x1b" not in said_so
    assert "\n" not in said_so


@pytest.mark.parametrize("name", ["init", "setup"])
def test_what_opens_no_run_offline_is_one_line(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise wandb.errors.UsageError("Invalid project name 'a/b'\nand more")

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb, name, refuse)
    line = "--log wandb: W&B opens no run: Invalid project name 'a/b'"
    with pytest.raises(UserError, match=f"^{line}$"):
        tracking("wandb", run, RECIPE, heard()).__enter__()


def test_without_a_network_the_run_is_kept_offline(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        console = heard()
        with tracking("wandb", run, RECIPE, console):
            pass
    assert said(console).startswith(f"W&B: offline, {url} cannot be reached; `wandb sync ")
    assert wandb_file.read(run.folder)[0].exit_code == 0


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (wandb_stub.silent(), "deadline exceeded"),
        (wandb_stub.answering(500), "deadline exceeded"),  # which is asked again until then
        (wandb_stub.answering(401), "error 401"),
    ],
    ids=["silent", "500", "401"],
)
def test_a_server_that_opens_no_run_leaves_it_offline(
    server: AbstractContextManager[str],
    reason: str,
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    console = heard()
    with server as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        with tracking("wandb", run, RECIPE, console) as tracker:
            assert os.environ["WANDB_ERROR_REPORTING"] == "false"  # it would wait for an answer
            tracker.step({"step": 1, "loss": 0.5})
    (line,) = said(console).splitlines()
    assert re.match(rf"W&B: offline, {url} opens no run \(.*{reason}.*\); `wandb sync /", line)
    logged = wandb_file.read(run.folder)[-1]
    assert (logged.exit_code, logged.history[0]["loss"]) == (0, 0.5)
    assert "WANDB_ERROR_REPORTING" not in os.environ


def test_a_server_that_falls_silent_ends_no_run(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "0.5")
    console = heard()
    with wandb_stub.answering(200) as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        with tracking("wandb", run, RECIPE, console) as tracker:
            tracker.step({"step": 1, "loss": 0.5})
    first, last = said(console).splitlines()
    assert first == f"W&B: {url}/anna/rftkit/runs/{run.status()['wandb']}"
    (folder,) = (run.folder / "wandb").glob("run-*")
    assert last == f"W&B: not all of the run has arrived in time; `wandb sync {folder}` uploads it"


def test_what_the_user_allows_the_server_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from rftkit.training.trackers.weights_and_biases import limits

    assert limits() == {"init_timeout": 30.0, "finish_timeout": 300.0}
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "5")
    assert limits() == {"finish_timeout": 300.0}


def test_other_loggers_need_no_tracker_of_ours(run: RunFolder) -> None:
    for log in ("none", "tensorboard", "trackio"):
        with tracking(log, run, RECIPE, heard()) as tracker:  # type: ignore[arg-type]
            assert tracker is NO_TRACKER


def test_a_tracker_that_is_not_installed_is_named_before_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rftkit.training import run as training_run  # loads torch, which nothing else here needs

    monkeypatch.setattr(training_run, "find_spec", lambda name: None)
    request = TrainRequest(recipe=fakes.recipe(), out=tmp_path / "run", log="wandb")
    line = r"--log wandb: needs wandb: .*pip install -e '\.\[wandb\]'"
    with pytest.raises(RecipeError, match=line):
        training_run.train(request, heard())
    assert not (tmp_path / "run").exists()
