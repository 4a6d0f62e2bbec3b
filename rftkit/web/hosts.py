"""Hosts that only this machine reaches, and whom a server there answers.

A page from elsewhere can let its own name lead to 127.0.0.1 (DNS rebinding). The browser then sends
that name as Host: nothing else tells such a request from one of our own. Or it asks 127.0.0.1 as it
is: the browser lets some requests through, though not their answers, and says whose page it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from rftkit.messages import one_line

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts that only this machine reaches
LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
LOCAL_ORIGIN = re.compile(f"https?://{LOCAL.pattern}", re.IGNORECASE)
OWN_SITE = ("same-origin", "same-site", "none")  # none: typed into the address bar
MISDIRECTED = 421  # HTTP's status for another host
FORBIDDEN = 403


class Refusal(NamedTuple):
    """An HTTP status, the line that says why, and a word for programs."""

    status: int
    line: str
    code: str


class LocalOnly:
    """An app that answers requests to this machine's own names; `refused` answers the others.

    keyed: it wants a key, which no page of another site has; else such pages are refused too.
    """

    def __init__(
        self, app: ASGIApp, refused: Callable[[Refusal], ASGIApp], keyed: bool = False
    ) -> None:
        self.app, self.refused, self.keyed = app, refused, keyed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (self.refused(refusal) if refusal else self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        if line := wrong_host(scope["headers"]):
            return Refusal(MISDIRECTED, line, "wrong_host")
        if not self.keyed and (line := other_site(scope["method"], scope["headers"])):
            return Refusal(FORBIDDEN, line, "other_site")
        return None


def wrong_host(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Why a request is refused by its Host; "" for one that names this machine, at any port."""
    hosts = _values(headers, b"host")
    wrong = next((host for host in hosts if not LOCAL.fullmatch(host)), None if hosts else "none")
    if wrong is None:
        return ""
    return (
        f"Host {one_line(wrong)[:60]}: this server answers localhost, 127.0.0.1 and [::1] only; "
        "ask it by one of them, or let your proxy send Host: localhost"
    )


def other_site(method: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Why a browser's request is refused by the page that makes it; "" for one that may be.

    No page can set either header, and no program sends them. Where a browser names the site it is
    believed: behind a proxy with HTTPS the page of this server has the proxy's Origin.
    """
    headers = list(headers)
    sites, origins = _values(headers, b"sec-fetch-site"), _values(headers, b"origin")
    foreign = next((one for one in origins if not LOCAL_ORIGIN.fullmatch(one)), None)
    if sites:
        site = next((one for one in sites if one not in OWN_SITE), None)
        followed = method == "GET" and _values(headers, b"sec-fetch-mode") == ["navigate"]
        if site is None or followed:  # a link to this server may be followed
            return ""
        wrong = f"Sec-Fetch-Site {site}" if foreign is None else f"Origin {foreign}"
    elif foreign is not None:
        wrong = f"Origin {foreign}"
    else:
        return ""
    return (
        f"{one_line(wrong)[:60]}: pages of other sites are not answered; ask from a program, "
        "or from a page that has this server's own name"
    )


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]
