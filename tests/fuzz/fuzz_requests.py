"""Target: bodies of requests to `rftkit serve`, through its application, without a network."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import fakes
import serve_fakes
from fuzz_guard import check_line

from rftkit.serve.app import build
from rftkit.serve.options import Limits
from rftkit.serve.predictions import Questions
from rftkit.serve.service import Served, Service

KINDS = (
    ("/v1/chat/completions", b"application/json"),
    ("/v1/predict", b"application/json"),
    ("/v1/predict", b"multipart/form-data; boundary=x"),
)


def request(data: bytes, _: Path) -> None:
    """A body; the first byte chooses where it goes. It is answered, or refused in one line."""
    path, kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    status, body = _loop().run_until_complete(_answered(path, kind, data[1:]))
    assert status < 500, (status, body[:300])
    if status == 200 and body.startswith(b"data: "):
        return
    answer = json.loads(body)
    if status != 200:
        assert {*answer["error"]} == {"message", "type", "param", "code"}
        check_line(answer["error"]["message"])


async def _answered(path: str, kind: bytes, body: bytes) -> tuple[int, bytes]:
    sent, came = list[Any](), False

    async def receive() -> dict[str, Any]:
        nonlocal came
        if came:
            await asyncio.Event().wait()  # the client stays
        came = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "headers": [(b"content-type", kind)], "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await _app()(scope, receive, send)
    status = next(m["status"] for m in sent if m["type"] == "http.response.start")
    return status, b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")


@lru_cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@lru_cache
def _app() -> Any:
    engine = serve_fakes.HeldEngine()
    engine.gate.set()
    questions = Questions(
        fakes.recipe(style="direct"), serve_fakes.LABELS, {}, ("<image>", "<|im_end|>")
    )
    limits = Limits(bytes=200_000, pixels=1_000_000, images=3, tokens=64)
    return build(Service(Served("digits", questions, engine, limits)))


def request_seeds() -> list[bytes]:
    """Requests of each kind that are answered, and some that are refused."""
    url = serve_fakes.data_url()
    words, image = {"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}}
    chat: dict[str, Any] = {
        "model": "digits", "messages": [{"role": "system", "content": "be brief"},
                                        {"role": "user", "content": [words, image]}],
    }  # fmt: skip
    more = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "max_tokens": 9, "n": 1, "stop": None}
    plain = {
        "model": "digits",
        "image": url,
        "name": "a.png",
        "images": [],
        "ask": [],
        "option": [],
    }
    form = (
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ndigits\r\n--x\r\n'
        b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + serve_fakes.png() + b"\r\n--x--\r\n"
    )
    chats = [chat, {**chat, **more}, {**chat, "stream": True}]
    chats += [{**chat, "messages": [{"role": "user", "content": [image]}]}]
    asked = [plain, {"images": [url, url]}, {"image": url.partition(",")[2]}]
    return [
        *(b"\0" + json.dumps(one).encode() for one in chats),
        *(b"\1" + json.dumps(one).encode() for one in asked),
        b"\2" + form,
    ]
