"""Whether the hub can be reached is known in two seconds, through a proxy too."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from rftkit.data.online import first_hop, reachable


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def listening() -> Iterator[str]:
    """The address of something that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_what_takes_a_connection_is_reachable(listening: str) -> None:
    assert reachable(f"http://{listening}/datasets", seconds=60)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "https://no-such-host.invalid", "http://x:y", "http://", ""]
)
def test_what_does_not_is_not(url: str) -> None:
    assert not reachable(url)


def test_a_look_up_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = threading.Event()

    def hang(*_: object) -> socket.socket:
        ends.wait(60)
        return socket.socket()  # whoever waited for it takes the host to be reachable

    monkeypatch.setattr(socket, "create_connection", hang)
    assert not reachable("https://huggingface.co", seconds=0.01)
    ends.set()


@pytest.mark.parametrize(("environment", "hop"), [
    ({}, ("huggingface.co", None)),
    ({"https_proxy": "http://proxy:3128"}, ("proxy", 3128)),
    ({"https_proxy": "proxy:3128"}, ("proxy", 3128)),
    ({"all_proxy": "socks5://proxy"}, ("proxy", None)),
    ({"http_proxy": "http://proxy:3128"}, ("huggingface.co", None)),
    ({"https_proxy": "http://proxy:3128", "no_proxy": ".co"}, ("huggingface.co", None)),
])  # fmt: skip
def test_the_first_hop_is_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], hop: tuple[str, int | None]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = first_hop("https://huggingface.co")
    assert (found.hostname, found.port) == hop


def test_a_hub_behind_a_dead_proxy_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, listening: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert not reachable(f"http://{listening}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert reachable(f"http://{listening}")
