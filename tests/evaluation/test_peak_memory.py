"""Peak memory of what runs within, not of what ran before."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event

import pytest

from rftkit.evaluation import peak_memory
from rftkit.metrics import behaviour
from rftkit.metrics.samples import Timing


class Process:
    """A process whose resident set is set by hand; tells when the present size was looked at."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, Event()

    def resident(self) -> int:
        size = self.size
        self.seen.set()
        return size

    def hold(self, size: int) -> None:
        """Hold so many bytes until somebody has looked twice: the second look began after this."""
        self.size = size
        for _ in range(2):
            self.seen.clear()
            assert self.seen.wait(60)


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("on_cpu")
def test_the_peak_of_a_process_is_what_it_held_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process = Process(9000)
    monkeypatch.setattr(peak_memory, "resident", process.resident)
    monkeypatch.setattr(peak_memory, "RESIDENT", tmp_path)
    process.size = 100  # what was held before is let go
    with peak_memory.peak_memory() as peak:
        assert (peak.of, peak.read()) == ("process", 100)
        process.hold(700)
        process.hold(300)
        assert peak.read() == 700
    with peak_memory.peak_memory() as peak:
        assert peak.read() == 300


@pytest.mark.usefixtures("on_cpu")
def test_where_no_peak_can_be_started_anew_it_is_said_to_be_the_whole_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peak_memory, "RESIDENT", tmp_path / "none")
    with peak_memory.peak_memory() as peak:
        assert peak.of == ""
        assert peak.read() > 2**20


@pytest.mark.skipif(not peak_memory.RESIDENT.exists(), reason="only Linux says what is resident")
def test_what_is_resident_grows_by_what_is_written() -> None:
    before = peak_memory.resident()
    block = bytearray(b"\1") * (64 * 2**20)
    assert peak_memory.resident() - before > 60 * 2**20
    del block


@pytest.mark.parametrize(
    ("sessions", "found"),
    [
        ([("gpu", 5), ("gpu", 9)], (9, "gpu")),
        ([("process", 5)], (5, "process")),
        ([("process", 5), ("", 9)], (9, "")),  # begun by a version that did not measure it anew
        ([("gpu", None)], (None, "")),
    ],
)
def test_a_summary_says_what_the_peak_is_of(
    sessions: list[tuple[str, int | None]], found: tuple[int | None, str]
) -> None:
    timings = [
        Timing.model_validate({
            "side": "base", "seconds": 1, "samples": 1, "tokens": 1,
            "peak_memory_bytes": size, "peak_memory_of": of,
        })
        for of, size in sessions
    ]  # fmt: skip
    speed = behaviour.speed(timings)
    assert speed
    assert (speed.peak_memory_bytes, speed.peak_memory_of) == found
