"""Which Host headers reach a server that is bound to this machine."""

from __future__ import annotations

import pytest

from rftkit.web.hosts import wrong_host


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:7860", "[::1]", "[::1]:80"]
)
def test_this_machine_s_own_names_are_answered(host: str) -> None:
    assert wrong_host([(b"accept", b"evil.example"), (b"host", host.encode())]) == ""


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "testserver", "::1",
     "127.0.0.1:80:80", "127.0.0.1:", "localhost:1@evil.example", "127.0.0.1\n", "0.0.0.0", ""],
)  # fmt: skip
def test_any_other_name_is_refused(host: str) -> None:
    line = wrong_host([(b"host", host.encode())])
    assert "answers localhost, 127.0.0.1 and [::1] only" in line
    assert line.isprintable()


def test_every_host_header_counts_and_one_is_needed() -> None:
    assert wrong_host([]).startswith("Host none: ")
    both = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert wrong_host(both).startswith("Host evil.example: ")
