"""What holds the calls of a process, and the disk that forgets, do what the trials rely on."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import calls
import pytest
from calls import Call, Watch
from disk import Disk

pytestmark = pytest.mark.skipif(not calls.supported(), reason="holds system calls, as Linux can")


def held(folder: Path, work: Callable[[], object]) -> tuple[int, Watch, Iterator[Call]]:
    """The process that does the work, and its calls."""
    watch = Watch(folder)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            watch.begin()
            work()
            code = 0
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    return pid, watch, watch.calls()


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_each_change_is_seen_before_it_happens(tmp_path: Path) -> None:
    file, final = tmp_path / "a", tmp_path / "b"

    def work() -> None:
        (tmp_path / "new").mkdir()
        with file.open("wb") as out:
            out.write(b"12345678")
            out.flush()
            os.fsync(out.fileno())
        file.rename(final)
        final.read_bytes()  # changes nothing
        final.unlink()
        (tmp_path / "new").rmdir()

    pid, _, seen = held(tmp_path, work)
    found = []
    for call in seen:
        found.append((call.name, Path(call.path).name, call.size))
        if call.name == "write":
            assert file.read_bytes() == b""
            assert calls.written(call) == b"12345678"
            assert calls.place_of(call) == 0
        if call.name == "rename":
            assert Path(call.other) == final
            assert not final.exists()
    assert found == [
        ("mkdir", "new", 0),
        ("openat", "a", 0),
        ("write", "a", 8),
        ("fsync", "a", 0),
        ("rename", "a", 0),
        ("unlink", "b", 0),
        ("rmdir", "new", 0),
    ]
    assert ended(pid) == 0


@pytest.mark.parametrize(("half", "left"), [(False, b"old"), (True, b"old1234")])
def test_a_kill_comes_before_the_write_or_in_its_middle(
    tmp_path: Path, half: bool, left: bytes
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")

    def work() -> None:
        with file.open("ab") as out:
            out.write(b"12345678")

    pid, _, seen = held(tmp_path, work)
    for call in seen:
        if call.name == "write":
            assert calls.place_of(call) == -1
            if half:
                calls.write_half(call)
            calls.kill(call)
    assert ended(pid) == -signal.SIGKILL
    assert file.read_bytes() == left


def test_a_call_that_is_failed_has_not_happened(tmp_path: Path) -> None:
    file = tmp_path / "a"
    pid, watch, seen = held(tmp_path, lambda: file.write_bytes(b"x"))
    for call in seen:
        if call.name == "write":
            watch.fail(call, errno.ENOSPC)
    assert ended(pid) == errno.ENOSPC
    assert file.read_bytes() == b""


def test_what_happens_elsewhere_and_what_is_printed_is_not_told(tmp_path: Path) -> None:
    watched = tmp_path / "in"
    watched.mkdir()

    def work() -> None:
        (tmp_path / "out").write_bytes(b"x")
        (watched / "said.txt").write_bytes(b"x")
        (watched / "file").write_bytes(b"x")

    pid, _, seen = held(watched, work)
    assert {Path(call.path).name for call in seen} == {"file"}
    assert ended(pid) == 0


def test_a_disk_forgets_what_was_not_synced(tmp_path: Path) -> None:
    disk, out = Disk(tmp_path), tmp_path / "out"
    out.mkdir()
    file = out / "file"
    file.write_bytes(b"one")
    assert disk.forgetting() == {}
    disk.sync(file)
    disk.sync(out)
    assert disk.forgetting() == {}  # nobody knows the folder's name
    disk.sync(tmp_path)
    assert disk.forgetting() == {"out": None, "out/file": b"one"}
    file.write_bytes(b"one more")
    file.rename(out / "renamed")
    assert disk.forgetting() == {"out": None, "out/file": b"one"}
    tree = {"out": None, "out/renamed": b"one more"}
    assert disk.with_zeros(tree) == {"out": None, "out/renamed": b"one\0\0\0\0\0"}
    disk.sync(out)
    assert disk.forgetting() == {"out": None, "out/renamed": b"one"}


def test_a_file_in_place_of_one_that_was_synced_is_another(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_bytes(b"one")
    disk = Disk(tmp_path)
    for path in (out / "file", out):
        disk.sync(path)
    (out / "file").unlink()
    for number in range(50):  # a disk likes to give numbers out again
        (out / f"{number}").write_bytes(b"two")
    (out / "0").rename(out / "file")
    assert disk.forgetting() == {"out": None, "out/file": b"one"}
