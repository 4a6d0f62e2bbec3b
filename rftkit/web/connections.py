"""Connections of a server: how many may be open, and how long a client may take to send.

uvicorn itself waits for ever for the rest of a request, so that clients which send nothing take
every file that the process may open.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for a request's head, from the connection's start or the answer before it
MOST = 512  # connections


class Room(NamedTuple):
    """How many connections may be open, and how many more the system may hold for us."""

    most: int
    backlog: int


def room() -> Room:
    """Half of the files that this process may open; those just accepted need some of the rest."""
    try:
        import resource
    except ImportError:  # Windows
        return Room(MOST, MOST // 4)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return Room(MOST, MOST // 4)
    return Room(max(1, min(MOST, files // 2)), max(1, min(MOST // 4, files // 8)))


class Connection(H11Protocol):
    """uvicorn's, closed where it is one too many, or where a request does not come in time."""

    most = MOST
    head_seconds = HEAD_SECONDS
    body_seconds = 120.0
    _timer: asyncio.TimerHandle | None = None
    _awaited: tuple[str, Any] | None = None  # what the timer runs for

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """It has sent something."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """It has been answered."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Time what is awaited of the client: from when it first is, however it trickles in."""
        awaited = self._waits_for()
        if awaited == self._awaited:
            return
        if self._timer:
            self._timer.cancel()
        self._timer, self._awaited = None, awaited
        if awaited:
            seconds = self.head_seconds if awaited[0] == "head" else self.body_seconds
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        """Close; what the client does not read of its last answer is thrown away later."""
        self.transport.close()
        self._timer = self.loop.call_later(self.body_seconds, self.transport.abort)

    def _waits_for(self) -> tuple[str, Any] | None:
        """A head or a body, and the request after which or of which it is; None while we answer."""
        if self.cycle is None or self.cycle.response_complete:
            return "head", self.cycle
        return ("body", self.cycle) if self.cycle.more_body else None


def bounded(body_seconds: float, head_seconds: float = HEAD_SECONDS) -> dict[str, Any]:
    """Settings of a uvicorn.Config whose connections are bounded in number and time."""
    open_at_once, backlog = room()
    limits = {"most": open_at_once, "head_seconds": head_seconds, "body_seconds": body_seconds}
    kind = type("Connection", (Connection,), limits)
    return {"http": kind, "ws": "none", "backlog": backlog}
