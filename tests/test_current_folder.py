"""Modules in the current folder, perhaps unpacked with somebody's data, never run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rftkit import notebook as nb
from rftkit.hardware import probe
from rftkit.study import runner
from rftkit.study.launch import Ended, launch

MARK = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; `ran` appears in it once one of its modules has been imported."""
    for name in ("json", "marked", "rftkit", "torch", "typer"):
        (tmp_path / f"{name}.py").write_text(MARK, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_doctor_looks_for_modules_elsewhere(folder: Path) -> None:
    found = probe.imports(["marked"])
    assert found.errors == {"marked": "ModuleNotFoundError: No module named 'marked'"}
    assert not (folder / "ran").exists()


def test_a_study_starts_rftkit_from_elsewhere(folder: Path) -> None:
    words = [*runner.python_module("rftkit.cli.main"), "--version"]
    assert launch(words, Console(quiet=True)) == Ended(0, "")
    assert not (folder / "ran").exists()


def test_a_notebook_starts_rftkit_from_elsewhere(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nb.run("rftkit --version")
    assert capsys.readouterr().out.splitlines()[-1].startswith("rftkit ")
    assert not (folder / "ran").exists()


def test_what_a_library_starts_looks_elsewhere_too(folder: Path) -> None:
    code = """
import subprocess, sys
from rftkit.cli.main import main
sys.argv = ["rftkit", "--version"]
try:
    main()
except SystemExit:
    raise SystemExit(subprocess.run([sys.executable, "-c", "import marked"]).returncode)
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout[:7]) == (1, "rftkit ")
    assert "No module named 'marked'" in done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("module", ["rftkit", "rftkit.cli"])
def test_rftkit_as_a_module_looks_elsewhere_too(folder: Path, module: str) -> None:
    shutil.move(folder / "rftkit.py", folder / "json.txt")  # Python itself would take that one
    (folder / "json.py").unlink()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    words = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout[:7]) == (0, "rftkit ")
    assert not (folder / "ran").exists()


def test_every_python_that_rftkit_starts_is_told_so() -> None:
    package = Path(probe.__file__).parents[1]
    starts = [
        (path.relative_to(package).as_posix(), words)
        for path in package.rglob("*.py")
        for words in re.findall(r"\[.*sys\.executable\)*,([^\]]*)\]", path.read_text("utf-8"))
    ]
    assert len(starts) >= 7
    own = [where for where in starts if not where[1].startswith(' "-P"') and "pip" not in where[1]]
    assert own == []
