"""Hosts that only this machine reaches, and whom a server there answers.

A page from elsewhere can let its own name lead to 127.0.0.1 (DNS rebinding). The browser then sends
that name as Host: nothing else tells such a request from one of our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rftkit.messages import one_line

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts that only this machine reaches
LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
MISDIRECTED = 421  # HTTP's status for it


class LocalOnly:
    """An app that answers requests to this machine's own names; `refused` answers the others."""

    def __init__(self, app: ASGIApp, refused: Callable[[str], ASGIApp]) -> None:
        self.app, self.refused = app, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        line = wrong_host(scope["headers"]) if scope["type"] == "http" else ""
        await (self.refused(line) if line else self.app)(scope, receive, send)


def wrong_host(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Why a request is refused by its Host; "" for one that names this machine, at any port."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    wrong = next((host for host in hosts if not LOCAL.fullmatch(host)), None if hosts else "none")
    if wrong is None:
        return ""
    return (
        f"Host {one_line(wrong)[:60]}: this server answers localhost, 127.0.0.1 and [::1] only; "
        "ask it by one of them, or let your proxy send Host: localhost"
    )
