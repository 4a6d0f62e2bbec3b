"""Every target of `make fuzz` takes its seeds, and some hundred changes of them."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_guard
import fuzz_targets
from fuzz_guard import check_line, ended

from rftkit.errors import DataError
from rftkit.serve.errors import ApiError

CHANGES = 300
SECONDS = 60.0  # of processor time, on the slowest machine: for what does not end


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_a_target_takes_its_seeds_and_changes_of_them(name: str, tmp_path: Path) -> None:
    target = fuzz_targets.TARGETS[name]
    seeds = target.seeds()
    lines = [ended(target.run, seed, tmp_path, SECONDS) for seed in seeds]
    assert lines.count("") >= len(lines) / 2, lines  # or changes of them would reach little
    chance, pieces = random.Random(0), fuzz_targets.words(seeds)
    for _ in range(CHANGES):
        data = fuzz_targets.mutated(chance.choice(seeds), pieces, chance)
        try:
            ended(target.run, data, tmp_path, SECONDS)
        except BaseException:
            print(f"input: {data!r}")
            raise


def raising(error: Exception) -> fuzz_guard.Run:
    def run(_: bytes, folder: Path) -> None:
        raise error

    return run


def doing(action: Callable[[Path], object]) -> fuzz_guard.Run:
    return lambda _, folder: action(folder) and None


def test_a_refusal_is_its_line(tmp_path: Path) -> None:
    assert ended(raising(DataError("a: bad; mend it")), b"", tmp_path, 9) == "a: bad; mend it"
    assert ended(raising(ApiError(400, "a: bad")), b"", tmp_path, 9) == "a: bad"
    assert ended(doing(lambda folder: (folder / "x").write_text("y")), b"", tmp_path, 9) == ""
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("line", ["", "a\nb", "a\x1b[31mb", "a\u2028b", "\ud800", "a" * 1001])
def test_what_is_no_clean_line_fails(line: str) -> None:
    with pytest.raises(AssertionError, match="line"):
        check_line(line)


def test_other_errors_come_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ended(raising(KeyError("a")), b"", tmp_path, 9)
    with pytest.raises(AssertionError, match="processor time"):
        ended(doing(lambda _: sum(range(10**6))), b"", tmp_path, 0.001)


@pytest.mark.parametrize("action", [
    lambda folder: (folder.parent / "beside").write_text("x"),
    lambda folder: (folder.parent / "beside").mkdir(),
    lambda folder: (folder / "a").symlink_to("/etc/passwd") or (folder.parent / "b").touch(),
    lambda folder: subprocess.run(["true"], check=True),
    lambda folder: os.system("true") + 1,
    lambda folder: socket.socket().connect_ex(("127.0.0.1", 9)),
])  # fmt: skip
def test_what_reaches_outside_fails(action: Callable[[Path], object], tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    with pytest.raises(AssertionError):
        ended(doing(action), b"", folder, 9)
