"""What the app refuses before Gradio sees it: large bodies, addresses, routes it has no use for.

Gradio fetches an address that stands for a file in any value of any call, and bounds no body.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rftkit.app.limits import MOST_JSON, Limits
from rftkit.app.upload_folder import FULL, UploadFolder
from rftkit.messages import in_short, one_line
from rftkit.web.hosts import Refusal

API = "/gradio_api"
UPLOAD = f"{API}/upload"
FILE = f"{API}/file="
DRAINED = 4  # times the limit, read and thrown away, so that a client hears why it is refused
ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]+:|[/\\]{2})", re.IGNORECASE)
CLOSED = (  # routes of Gradio that the page and the calls do not use
    "monitoring", "proxy=", "stream", "component_server", "process_recording", "vibe-",
    "undo-vibe-edit", "profiling", "deep_link", "dev/", "run-history", "runs", "custom_component",
    "call/v2", "file/",
)  # fmt: skip
FAILED = "the request failed; is it one that the page makes?"


class RefusedError(Exception):
    """An HTTP status and the line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(one_line(line))
        self.status = status


class Entrance:
    """Goes around Gradio's app; its answer to a refused or failed request is one line."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits, self.folder = app, limits, UploadFolder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or what else the server has to say."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._enter(scope, receive, noted)
            return
        except ClientDisconnect:
            return
        except RefusedError as error:
            refused = error
        except Exception as error:  # Gradio's: uvicorn would print its traceback
            what = f"{scope['method']} {scope['path']}: {in_short(error)}"
            logging.getLogger(__name__).warning(one_line(what))
            refused = RefusedError(500, FAILED)
        if not begun:
            await answer(scope, refused.status, str(refused))(scope, receive, send)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises RefusedError."""
        path = scope["path"]
        if path.removeprefix(API).lstrip("/").startswith(CLOSED):
            raise RefusedError(404, f"{path}: not part of this app")
        if path.startswith(FILE) and ADDRESS.match(path.removeprefix(FILE)):
            raise RefusedError(400, "addresses are not fetched here")
        if path == UPLOAD:
            await self._upload(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
        else:
            body = await _whole(scope, receive)
            _check(body)
            await self.app(scope, _replayed(body, receive), send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Files, counted as they stream in. Raises RefusedError for too many bytes."""
        most, declared = self.limits.upload, _declared(scope)
        if declared > most:
            raise RefusedError(413, _too_large(declared, most, "fewer files at once"))
        await self.folder.make_room(scope["app"], declared)
        size, refused = 0, list[RefusedError]()

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            self.folder.kept += len(message.get("body", b""))
            if size > most:
                refused.append(RefusedError(413, _too_large(size, most, "fewer files at once")))
            elif self.folder.is_full:
                refused.append(RefusedError(507, FULL))
            if refused or message["type"] == "http.disconnect":
                raise MultiPartException("cut off")  # for it Gradio removes what has come
            return message

        async def unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self.app(scope, counted, unless_refused)
        if refused:
            raise refused[0]


def answer(scope: Scope, status: int, line: str) -> Response:
    """One line, as the page shows it: of an upload as text, of a call from `detail`."""
    if scope["path"] == UPLOAD:
        return PlainTextResponse(line, status)
    return JSONResponse({"detail": line}, status)


def not_ours(refusal: Refusal) -> Response:
    """What a request for another host, or of another site's page, is answered with."""
    return JSONResponse({"detail": refusal.line}, refusal.status)


def address_in(held: object) -> str:
    """The first `path` or `url` that is an address, at any depth; "" without one.

    A page names a file of ours by its path, and beside it by the address that we serve it at.
    """
    for value in _objects(held):
        path, url = value.get("path"), value.get("url")
        if isinstance(path, str) and ADDRESS.match(path):
            return path
        if isinstance(url, str) and ADDRESS.match(url):
            ours = f"{FILE}{unquote(path)}" if isinstance(path, str) and path else None
            if ours is None or not unquote(url).endswith(ours):
                return url
    return ""


def _objects(held: object) -> Iterator[dict[str, Any]]:
    """Every JSON object in a value."""
    waiting = [held]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _check(body: bytes) -> None:
    """Raises RefusedError for an address in a call; what is no JSON Gradio itself refuses."""
    try:
        address = address_in(json.loads(body))
    except RecursionError:
        raise RefusedError(400, "request: nested too deeply") from None
    except ValueError:
        return
    if address:
        raise RefusedError(
            400, f"{address[:60]!r}: addresses are not fetched here; upload the file"
        )


async def _whole(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises RefusedError above the limit, ClientDisconnect without an end."""
    body, size, more = bytearray(), 0, True
    declared = _declared(scope)
    if declared > DRAINED * MOST_JSON:
        raise RefusedError(413, _too_large(declared, MOST_JSON, "less"))
    while more and size <= DRAINED * MOST_JSON:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= MOST_JSON:
            body += part
    if size > MOST_JSON:
        raise RefusedError(413, _too_large(size, MOST_JSON, "less"))
    return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What was read, once more; then what else comes."""
    unread = [body]

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return replay


def _declared(scope: Scope) -> int:
    """Bytes of the body as the client says, 0 where it does not."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(said) if said.isdigit() else 0


def _too_large(size: int, most: int, what: str) -> str:
    return f"request: {size / 1e6:.1f} MB, above the limit of {most / 1e6:.3g} MB; send {what}"
