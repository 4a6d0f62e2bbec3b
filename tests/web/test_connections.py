"""A server whose clients send nothing, or too slowly, or are too many: it goes on answering."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from waiting import HANG_SECONDS

from rftkit.web import connections
from rftkit.web.connections import Room, bounded

HEAD, BODY = 0.3, 0.6
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a body, then says so."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"read"})


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch, most: int = 8) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(connections, "room", lambda: Room(most, 4))
    settings = bounded(BODY, HEAD)
    config = uvicorn.Config(reading, log_level="critical", lifespan="off", **settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            running.should_exit = True
            thread.join(HANG_SECONDS)


def told(client: socket.socket, drip: bytes = b"") -> tuple[bytes, float]:
    """All that comes until the connection ends, and after how many seconds it does."""
    start, found = time.monotonic(), b""
    client.settimeout(0.05 if drip else HANG_SECONDS)
    while True:
        assert time.monotonic() - start < HANG_SECONDS, "still open"
        try:
            part = client.recv(4096)
        except TimeoutError:
            try:
                client.sendall(drip)
            except OSError:
                part = b""
            else:
                continue
        except ConnectionError:
            part = b""
        if not part:
            return found, time.monotonic() - start
        found += part


@pytest.mark.parametrize(
    ("sent", "drip", "seconds"),
    [
        (b"", b"", HEAD),
        (GET, b"", HEAD),
        (GET, b"A: b\r\n", HEAD),
        (POST, b"", BODY),
        (POST.replace(b"9", b"9999"), b"x", BODY),
    ],
)
def test_who_does_not_send_a_whole_request_in_time_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, drip: bytes, seconds: float
) -> None:
    with server(monkeypatch) as address, socket.create_connection(address) as client:
        client.sendall(sent)
        found, passed = told(client, drip)
    assert found == b""
    assert passed >= seconds - 0.1


def test_after_an_answer_half_a_head_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch) as address, socket.create_connection(address) as client:
        client.sendall(GET + b"\r\n" + GET)
        found, _ = told(client)
    assert found.count(b"200 OK") == 1


def test_connections_above_the_limit_are_closed_and_others_answered_once_they_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{__name__}.HEAD", HANG_SECONDS)
    with server(monkeypatch, most=2) as address:
        first, second = (socket.create_connection(address) for _ in range(2))
        with socket.create_connection(address) as third:
            assert told(third)[0] == b""
        first.sendall(GET + b"Connection: close\r\n\r\n")
        assert b"200 OK" in told(first)[0]
        with socket.create_connection(address) as fourth:
            fourth.sendall(GET + b"Connection: close\r\n\r\n")
            assert b"200 OK" in told(fourth)[0]
        first.close()
        second.close()


@pytest.mark.parametrize(
    ("files", "found"),
    [(256, Room(128, 32)), (1024, Room(512, 128)), (10**6, Room(512, 128)), (-1, Room(512, 128))],
)
def test_half_of_the_files_are_for_connections(
    monkeypatch: pytest.MonkeyPatch, files: int, found: Room
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert connections.room() == found
