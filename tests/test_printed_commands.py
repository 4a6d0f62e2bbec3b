"""Commands that are printed run as they are printed, activated environment or not."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rftkit.messages import pip_install, runnable


def program(path: Path) -> Path:
    """A program that prints where it lies and its arguments, a line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("started", "folder", "on_path", "expected"),
    [
        (".venv/bin/rftkit", ".", (), ".venv/bin/rftkit"),  # make demo, nothing activated
        (".venv/bin/rftkit", ".", (".venv/bin",), "rftkit"),  # after `source .venv/bin/activate`
        ("{root}/.venv/bin/rftkit", ".", (), ".venv/bin/rftkit"),
        ("{root}/.venv/bin/rftkit", "my pets", (), "{root}/.venv/bin/rftkit"),
        ("../.venv/bin/rftkit", "my pets", (), "../.venv/bin/rftkit"),
        (".venv/bin/rftkit", ".", ("other/bin",), ".venv/bin/rftkit"),  # another one is found first
        ("{root}/my pets/bin/rftkit", ".", (), "'my pets/bin/rftkit'"),
        ("{root}/link/rftkit", ".", ("link",), "rftkit"),  # as pipx makes it
        ("{root}/rftkit/cli.py", ".", (), ".venv/bin/rftkit"),  # python -m rftkit.cli.main
        ("app.py", ".", (".venv/bin",), "rftkit"),
    ],
)
def test_a_printed_command_runs_as_it_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: str,
    folder: str,
    on_path: tuple[str, ...],
    expected: str,
) -> None:
    own = program(tmp_path / ".venv/bin/rftkit")
    for name in ("other/bin", "my pets/bin"):
        program(tmp_path / name / "rftkit")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/rftkit").symlink_to(own)
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setenv("PATH", ":".join([*(str(tmp_path / p) for p in on_path), "/usr/bin:/bin"]))
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.setattr(sys, "argv", [started.format(root=tmp_path), "train"])
    line = runnable("predict", "two words.png", "--ckpt", "out/$x")
    assert line == f"{expected.format(root=tmp_path)} predict 'two words.png' --ckpt 'out/$x'"
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    first, *rest = said.splitlines()
    itself = Path(started.format(root=tmp_path))
    assert Path(first).samefile(itself if itself.name == "rftkit" else own)
    assert rest == ["predict", "two words.png", "--ckpt", "out/$x"]


def test_without_the_script_the_module_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert runnable("runs") == "./python -P -m rftkit runs"


def test_what_is_missing_is_installed_beside_this_rftkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / ".venv/bin/python")))
    program(tmp_path / ".venv/bin/pip")
    monkeypatch.setenv("PATH", f"{program(tmp_path / 'other/pip').parent}:/usr/bin:/bin")
    assert pip_install("-e", ".[app]") == ".venv/bin/python -m pip install -e '.[app]'"
    monkeypatch.setenv("PATH", f"{tmp_path}/.venv/bin:/usr/bin:/bin")
    assert pip_install("-e", ".[app]") == "pip install -e '.[app]'"
    assert shlex.split(pip_install("x y")) == ["pip", "install", "x y"]
