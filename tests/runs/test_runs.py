"""The run folder: never overwritten, readable after a kill at any moment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rftkit import files
from rftkit.errors import RecipeError, UserError
from rftkit.runs.locks import locked
from rftkit.runs.run import (
    FORMAT,
    OWN_FOLDERS,
    RunFolder,
    new_run,
    runs_under,
    state,
    unfinished_run,
)


def begun(folder: Path) -> RunFolder:
    """A run that has written a status."""
    folder.mkdir(parents=True, exist_ok=True)
    RunFolder(folder).set_status("running")
    return RunFolder(folder)


def test_a_run_goes_where_it_was_asked_to(tmp_path: Path) -> None:
    assert new_run(tmp_path / "deep" / "pets").folder == tmp_path / "deep" / "pets"
    (tmp_path / "empty").mkdir()
    assert new_run(tmp_path / "empty").folder == tmp_path / "empty"
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    begun(tmp_path / "pets")
    (tmp_path / "pets" / "recipe.toml").write_text("seed = 1")
    assert new_run(tmp_path / "pets").folder == tmp_path / "pets-2"
    begun(tmp_path / "pets-2")
    (tmp_path / "pets-3").mkdir()
    (tmp_path / "pets-3" / "notes.txt").touch()
    assert new_run(tmp_path / "pets").folder == tmp_path / "pets-4"
    assert (tmp_path / "pets" / "recipe.toml").read_text() == "seed = 1"


def test_a_run_may_begin_where_baselines_lie(tmp_path: Path) -> None:
    RunFolder(tmp_path / "pets").folder.mkdir()
    RunFolder(tmp_path / "pets").baselines.write_text("{}")
    assert new_run(tmp_path / "pets").folder == tmp_path / "pets"
    assert RunFolder(tmp_path / "pets").baselines.read_text() == "{}"


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RecipeError, match="holds other files; name a new or empty folder"):
        new_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_users_own_recipe_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(RecipeError, match="holds other files"):
        new_run(tmp_path)


def test_a_run_that_was_killed_as_it_began_is_begun_again(tmp_path: Path) -> None:
    for name in ("lock", "recipe.toml", ".resolved.toml.77"):
        (tmp_path / name).touch()
    assert new_run(tmp_path).folder == tmp_path


def test_a_kill_as_the_folder_is_tried_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".writable").touch()
    assert new_run(tmp_path).folder == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "pets").touch()
    with pytest.raises(RecipeError, match=r"--out .*pets: is a file; name a folder"):
        new_run(tmp_path / "pets")
    with pytest.raises(RecipeError, match=r"--out .*inside: .*pets is a file; name another folder"):
        new_run(tmp_path / "pets" / "inside")


def test_an_unwritable_place_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RecipeError, match=r"cannot write there \(Permission denied\)"):
        new_run(tmp_path / "pets")


def test_lines_are_read_back(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [{"step": 1, "é": "a\nb"}, {"step": 2}]
    for record in records:
        files.append_line(tmp_path / "metrics.jsonl", record)
    assert files.read_lines(tmp_path / "metrics.jsonl") == records
    assert files.read_lines(tmp_path / "none.jsonl") == []


def test_a_torn_last_line_is_left_out_wherever_it_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first, last = '{"step": 1}\n', '{"step": 2, "rewards": {"é": 1.0}}'
    whole = (first + last).encode()
    for cut in range(len(first), len(whole)):
        path.write_bytes(whole[:cut])
        assert [line["step"] for line in files.read_lines(path)] == [1], whole[:cut]
    path.write_bytes(whole)
    assert [line["step"] for line in files.read_lines(path)] == [1, 2]


def test_a_bad_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "l\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl:2: not a JSON object; fix or remove"):
        files.read_lines(tmp_path / "metrics.jsonl")


def test_a_run_that_goes_on_forgets_what_came_after(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    files.forget_after(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    files.forget_after(tmp_path / "none.jsonl", 2)
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize("line", ["{}", '{"step": "2"}', '{"step": null}', '{"step": true}'])
def test_a_line_without_its_step_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl:2: has no step; fix or remove the line$"):
        files.forget_after(path, 2)
    assert path.read_text().endswith(f"{line}\n")


def test_a_name_is_on_the_disk_when_a_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = list[Path]()
    monkeypatch.setattr(files, "sync", synced.append)
    files.write_atomically(tmp_path / "run.json", "{}")
    assert synced == [tmp_path]


def test_a_status_is_old_or_new_but_never_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path)
    run.set_status("running", labels=["cat", "dog"])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        run.set_status("finished")
    assert run.status()["state"] == "running"
    assert run.status()["labels"] == ["cat", "dog"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_status_remembers_what_it_was_told(tmp_path: Path) -> None:
    run = begun(tmp_path)
    created = run.status()["created"]
    run.set_status("stopped", fingerprint={"data": "x"})
    run.set_status("finished")
    status = run.status()
    assert (status["state"], status["fingerprint"]) == ("finished", {"data": "x"})
    assert status["created"] == created
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": FORMAT + 1, "rftkit": "9.9"}))
    with pytest.raises(UserError, match=r"written by a newer rftkit \(9\.9\); upgrade rftkit"):
        RunFolder(tmp_path).status()


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text",
    [
        *["", "{", "[]", "null", '{"format": "new"}', "{}", "\x00\xff", '{"format": 1}', DEEP],
        '{"format": 1, "state": "a\\u001bb"}',
    ],
)
def test_a_damaged_status_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, "latin-1")
    with pytest.raises(UserError, match=r"run\.json: damaged \(.*\); start a new run"):
        RunFolder(tmp_path).status()


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("fingerprint", "a text", "'a text'"),
        ("fingerprint", {"data": 5}, "{'data': 5}"),
        ("adapter_files", ["README.md"], "['README.md']"),
        ("versions", [1], "[1]"),
        ("versions", {"torch": None}, "{'torch': None}"),
        ("labels", "cat", "'cat'"),
        ("labels", ["cat", 5], "['cat', 5]"),
        ("aliases", 3, "3"),
        ("folder", 5, "5"),
        ("training_images", [1], "[1]"),
        ("validation", {"base": "much"}, "{'base': 'much'}"),
        ("length_target", "long", "'long'"),
        ("wandb", 7, "7"),
    ],
)
def test_a_key_of_another_kind_is_damage_too(
    tmp_path: Path, key: str, value: object, shown: str
) -> None:
    run = begun(tmp_path)
    run.status_file.write_text(json.dumps({**run.status(), key: value}))
    with pytest.raises(UserError) as caught:
        run.status()
    reason = f"damaged ({key} is {shown}); start a new run"
    assert str(caught.value) == f"{run.status_file}: {reason}"


@pytest.mark.parametrize("text", ["hello", "[1]", "5", DEEP])
def test_damaged_settings_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "effective.json").write_text(text)
    with pytest.raises(UserError, match=r"effective\.json: damaged \(.*\); delete it$"):
        RunFolder(tmp_path).settings_in_force()


def test_what_a_killed_process_was_writing_goes_and_no_other_file(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    (tmp_path / "eval" / "test").mkdir(parents=True)
    left = [tmp_path / f".run.json.{gone.pid}", tmp_path / f"eval/test/.summary.json.{gone.pid}"]
    kept = [tmp_path / ".run.json.1", tmp_path / f".run.json.{os.getpid()}", tmp_path / ".a.txt"]
    for path in (*left, *kept):
        path.touch()
    files.sweep(tmp_path)
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_the_newest_of_the_siblings_is_resumed(tmp_path: Path) -> None:
    for age, name in enumerate(("pets", "pets-3", "pets-2", "pets-old", "petsy")):
        begun(tmp_path / name)
        os.utime(tmp_path / name / "run.json", ns=(age, age))
    assert unfinished_run(tmp_path / "pets").folder == tmp_path / "pets-2"
    with pytest.raises(RecipeError, match="no run here to resume; leave out --resume"):
        unfinished_run(tmp_path / "cars")


def test_a_run_that_failed_before_its_first_step_is_passed_over(tmp_path: Path) -> None:
    """A mistyped repetition of the command must not hide the run that is to be continued."""
    stopped, mistake = begun(tmp_path / "pets"), begun(tmp_path / "pets-2")
    stopped.set_status("stopped")
    mistake.set_status("failed", error="method.trainer: 'unsloth', but …")
    assert unfinished_run(tmp_path / "pets") == stopped
    files.append_line(mistake.metrics, {"step": 1})
    assert unfinished_run(tmp_path / "pets") == mistake
    (tmp_path / "pets-3").mkdir()
    (tmp_path / "pets-3" / "run.json").write_text("damaged")
    os.utime(tmp_path / "pets-3" / "run.json", ns=(1, 1))
    assert unfinished_run(tmp_path / "pets") == mistake, "an older one that is damaged is not read"
    begun(tmp_path / "cars").set_status("failed")
    assert unfinished_run(tmp_path / "cars").folder == tmp_path / "cars"


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    begun(tmp_path / "pets[1]-2")
    assert unfinished_run(tmp_path / "pets[1]").folder == tmp_path / "pets[1]-2"


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(("b", "study/c", "a")):
        begun(tmp_path / name)
        os.utime(tmp_path / name / "run.json", ns=(age, age))
    names = [run.folder.relative_to(tmp_path).as_posix() for run in runs_under(tmp_path)]
    assert names == ["a", "study/c", "b"]
    assert runs_under(tmp_path / "b") == [RunFolder(tmp_path / "b")]
    assert runs_under(tmp_path / "none") == []


def test_a_run_whose_process_is_gone_is_shown_as_stopped(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.set_status("running")
    assert state(run) == "stopped"
    with locked(tmp_path):
        assert state(run) == "running"
    (tmp_path / "lock").write_text(f"999999999 {socket.gethostname()}", "utf-8")
    assert state(run) == "stopped"


@pytest.mark.parametrize("place", [*OWN_FOLDERS, "eval/test", "export/merged"])
def test_what_a_run_writes_and_deletes_is_never_elsewhere(tmp_path: Path, place: str) -> None:
    """A stranger's archive of a run may bring links."""
    run, outside = begun(tmp_path / "pets"), tmp_path / "thesis"
    outside.mkdir()
    link = run.folder / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(UserError, match="is a link; a run writes into its folders") as refused:
        run.status()
    assert str(refused.value).startswith(f"{link}: ")
