"""A folder is held by one process, and let go by one that is gone."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rftkit.errors import Interrupted, UserError
from rftkit.runs import locks
from rftkit.runs.locks import locked

HERE = socket.gethostname()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} {socket.gethostname()}")
        with (
            pytest.raises(UserError, match=f"in use by process {os.getpid()} on"),
            locked(tmp_path),
        ):
            pass
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_the_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert not (tmp_path / "lock").exists()


def test_the_lock_is_let_go_when_a_signal_comes_as_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, signals = Path.unlink, [Interrupted(15)]

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        if signals:
            raise signals.pop()
        unlink(path, missing_ok)

    with pytest.raises(Interrupted), locked(tmp_path):
        monkeypatch.setattr(Path, "unlink", interrupted)
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("left", ["dead", "", "what"])
def test_the_lock_of_a_process_that_is_gone_is_cleared(tmp_path: Path, left: str) -> None:
    text = f"{dead_pid()} {socket.gethostname()}" if left == "dead" else left
    (tmp_path / "lock").write_text(text)
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} ")


def test_a_stale_lock_that_two_clear_at_once_is_taken_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").write_text(f"{dead_pid()} {socket.gethostname()}")
    inside, most, clear = list[str](), list[int](), Path.unlink
    ends, arrived, seen = (threading.Event() for _ in range(3))
    hold_folder = fcntl.flock

    def hold(name: str) -> None:
        try:
            with locked(tmp_path):
                inside.append(name)
                most.append(len(inside))
                arrived.set()
                ends.wait(60)
                inside.remove(name)
        except UserError:
            arrived.set()

    second = threading.Thread(target=hold, args=("second",))

    def slow(path: Path, missing_ok: bool = False) -> None:
        """The first saw that it is stale, and another comes before it is gone."""
        if path.name == "lock" and second.ident is None:
            second.start()
            seen.set()
            arrived.wait(60)
        clear(path, missing_ok)

    def flock(handle: int, operation: int) -> None:
        if threading.current_thread() is second:
            arrived.set()  # at the door, where it has to wait
        hold_folder(handle, operation)

    monkeypatch.setattr(Path, "unlink", slow)
    monkeypatch.setattr(fcntl, "flock", flock)
    first = threading.Thread(target=hold, args=("first",))
    first.start()
    assert seen.wait(60)
    second.join(10)  # refused, or inside beside the first, which it must not be
    ends.set()
    first.join(60)
    second.join(60)
    assert max(most) == 1


def test_the_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{dead_pid()} elsewhere")
    with (
        pytest.raises(UserError, match=r"on elsewhere; wait for it, or delete .*lock"),
        locked(tmp_path),
    ):
        pass


def running() -> subprocess.Popen[bytes]:
    """Another process that is alive until its standard input ends."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_live_process_keeps_its_lock_and_its_number_alone_does_not(tmp_path: Path) -> None:
    with running() as other:
        (tmp_path / "lock").write_text(f"{other.pid} {HERE}")  # as older versions wrote it
        assert locks.holder(tmp_path) == f"process {other.pid} on {HERE}"
        (tmp_path / "lock").write_text(f"{other.pid} {HERE} {locks._started(other.pid)}")
        with pytest.raises(UserError, match=f"in use by process {other.pid} on"), locked(tmp_path):
            pass
        (tmp_path / "lock").write_text(f"{other.pid} {HERE} 1")  # the number has gone round
        if locks._started(other.pid):
            assert locks.holder(tmp_path) == ""
            with locked(tmp_path):
                assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} ")
        other.communicate(b"\n")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_process_that_nobody_waited_for_has_no_lock(tmp_path: Path) -> None:
    with running() as other:
        (tmp_path / "lock").write_text(f"{other.pid} {HERE} {locks._started(other.pid)}")
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and still listed
        assert locks.holder(tmp_path) == ""


@pytest.mark.parametrize("more", ["", " 1"])
def test_a_lock_with_our_own_number_that_we_did_not_take_is_stale(
    tmp_path: Path, more: str
) -> None:
    """A container that is started again has the same name and gives out the same numbers."""
    (tmp_path / "lock").write_text(f"{os.getpid()} {HERE}{more}")
    assert locks.holder(tmp_path) == ""
    with locked(tmp_path):
        assert locks.holder(tmp_path) == f"process {os.getpid()} on {HERE}"
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize(
    "left",
    [
        b"\xff\xfe\x00",
        b"9" * 30 + b" " + HERE.encode(),
        b"9" * 10_000 + b" " + HERE.encode(),
        b"\xb2 " + HERE.encode(),
        "² ".encode() + HERE.encode(),
        b"-1 " + HERE.encode(),
        b"0 " + HERE.encode(),
    ],
)
def test_a_lock_that_names_no_process_is_stale(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "lock").write_bytes(left)
    assert locks.holder(tmp_path) == ""
    with locked(tmp_path):
        assert locks.holder(tmp_path) == f"process {os.getpid()} on {HERE}"


@pytest.mark.parametrize("kind", ["folder", "pipe", "broken link"])
def test_a_lock_that_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    lock = tmp_path / "lock"
    make = {
        "folder": lock.mkdir,
        "pipe": lambda: os.mkfifo(lock),
        "broken link": lambda: lock.symlink_to("no"),
    }
    make[kind]()
    assert locks.holder(tmp_path) == ""
    with (
        pytest.raises(UserError, match=r"lock: is not a file, so rftkit did not write it; move it"),
        locked(tmp_path),
    ):
        pass
    assert os.path.lexists(lock)


def test_a_lock_that_was_deleted_and_taken_by_another_is_left_to_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / "lock").write_text("7 another-machine")
    assert (tmp_path / "lock").read_text() == "7 another-machine"
    locks.forget_other_machines(tmp_path)
    assert not (tmp_path / "lock").exists()
