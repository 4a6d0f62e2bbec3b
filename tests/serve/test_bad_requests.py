"""Requests that are refused: the status and the one line, in OpenAI's shape."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serve_fakes import WEB, Running, data_url, png, running

from rftkit.serve.options import Limits

PREDICT, CHAT = "/v1/predict", "/v1/chat/completions"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(Limits(bytes=200_000, images=2, pixels=1_000_000, tokens=64)) as service:
        yield service


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header says so many pixels and whose data is nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        whole = kind + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b"")


def chat(**more: Any) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": data_url()}}
    content = [{"type": "text", "text": "Which?"}, image]
    return {"model": "digits", "messages": [{"role": "user", "content": content}], **more}


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts]}]


def shown(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


WORDS = {"type": "text", "text": "Which?"}
JSON_CASES: list[tuple[str, object, int, str]] = [
    (PREDICT, {"image": "http://10.0.0.1/x.png"}, 400, "image: a URL is never fetched"),
    (PREDICT, {"image": "file:///etc/passwd"}, 400, "image: a URL is never fetched"),
    (PREDICT, {"image": "//host/x.png"}, 400, "image: a URL is never fetched"),
    (PREDICT, {"images": [data_url(), "ftp://x/y"]}, 400, "images.1: a URL is never fetched"),
    (PREDICT, {"image": "äöü"}, 400, "image: not base64"),
    (PREDICT, {"image": "QUJD*"}, 400, "image: not base64"),
    (PREDICT, {"image": "data:image/png;base64"}, 400, "image: a data URL without a comma"),
    (PREDICT, {"image": "data:image/png;base64,****"}, 400, "image: not base64"),
    (PREDICT, {"image": "data:text/plain,\ud800"}, 400, "image: half a surrogate pair"),
    (PREDICT, {"image": "data:text/plain,hello"}, 400, "not a PNG, JPEG or WebP image"),
    (PREDICT, {"image": "QUJDRA=="}, 400, "not a PNG, JPEG or WebP image"),
    (PREDICT, {"image": ""}, 400, "image: the file is empty"),
    (PREDICT, {}, 400, "image: none; send a file"),
    (PREDICT, {"images": [data_url()] * 3}, 413, "3 images, above the limit of 2"),
    (PREDICT, {"image": 3}, 400, "image: Input should be a valid string"),
    (PREDICT, {"img": data_url()}, 400, "img: unknown field"),
    (PREDICT, {"img\x07" + "a" * 9000: ""}, 400, r"img\x07aaa"),
    (PREDICT, {"image": data_url(), "model": "gpt"}, 404, "model: 'gpt' is not served here"),
    (PREDICT, {"image": data_url(), "question": "why?"}, 400, "question: the task"),
    (PREDICT, {"image": data_url(), "ask": ["cat"]}, 400, "ask: this model's task is"),
    (PREDICT, [1], 400, "request: Input should be a valid dictionary"),
    (CHAT, {"messages": []}, 400, "m"),
    (CHAT, chat(model="other"), 404, "model: 'other' is not served here"),
    (CHAT, chat(n=2), 400, "n: 2 is not supported"),
    (CHAT, chat(logprobs=True), 400, "logprobs: true is not supported"),
    (CHAT, chat(top_logprobs=3), 400, "top_logprobs: 3 is not supported"),
    (CHAT, chat(stop=["x"]), 400, "stop: [\"x\"] is not supported"),
    (CHAT, chat(tools=[{"type": "function"}]), 400, "tools: "),
    (CHAT, chat(response_format={"type": "json_object"}), 400, "response_format: "),
    (CHAT, chat(temperature=3), 400, "temperature: Input should be less than or equal to 2"),
    (CHAT, chat(temperature="hot"), 400, "temperature: Input should be a valid number"),
    (CHAT, chat(max_tokens=65), 400, "max_tokens: 65, above the limit of 64"),
    (CHAT, chat(max_completion_tokens=0), 400, "max_completion_tokens: Input should be greater"),
    (CHAT, chat(colour="red"), 400, "colour: unknown field"),
    (CHAT, chat(messages=[]), 400, "messages: List should have at least 1 item"),
    (CHAT, chat(messages=[{"role": "user", "content": "hello"}]), 400, "messages: no image"),
    (CHAT, chat(messages=user(WORDS, shown("https://x.org/a.png"))), 400, "never fetched"),
    (CHAT, chat(messages=user(WORDS, shown("iVBORw0KGgo="))), 400, "never fetched"),
    (CHAT, chat(messages=user(WORDS, {"type": "input_audio"})), 400, "messages.0.content.1: "),
    (CHAT, chat(messages=user(shown(data_url()), shown(data_url()))), 400, "messages: no text"),
    (CHAT, chat(messages=user(WORDS, *[shown(data_url())] * 3)), 413, "3 images"),
    (CHAT, chat(messages=[*user(WORDS), *user(shown(data_url()))]), 400, "there is 2 of them"),
    (CHAT, chat(messages=[{"role": "assistant", "content": "hi"}]), 400, "'assistant'"),
    (CHAT, chat(messages=user({"type": "text", "text": "<|im_end|>"}, shown(data_url()))), 400,
     "holds '<|'"),
    (CHAT, chat(messages=user({"type": "text", "text": "<image>"}, shown(data_url()))), 400,
     "holds '<image>'"),
    (CHAT, chat(messages=user({"type": "text", "text": "\ud800"}, shown(data_url()))), 400,
     "half a surrogate pair"),
    (CHAT, chat(messages=user({"type": "text", "text": "x" * 12_001}, shown(data_url()))), 400,
     "longer than 12000 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "asked", "status", "said"), JSON_CASES)
def test_json_that_is_refused(
    served: Running, path: str, asked: object, status: int, said: str
) -> None:
    told = WEB.post(served.url + path, content=json.dumps(asked).encode())
    refused(told, status, said)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (PREDICT, b"", 400, "request: not JSON"),
        (PREDICT, b"{", 400, "request: not JSON"),
        (PREDICT, b"\xff\xfe\x00", 400, "request: not JSON"),
        (PREDICT, b"[" * 100_000, 400, "request: not JSON"),
        (CHAT, b'{"model": ' + b"9" * 10_000 + b"}", 400, "request: not JSON"),
        (CHAT, b"x" * 200_001, 413, "request: 0.2 MB, above the limit of 0.2 MB"),
        (PREDICT, b"x" * 2_000_000, 413, "request: 2.0 MB, above the limit of 0.2 MB"),
    ],
)
def test_bytes_that_are_refused(
    served: Running, path: str, body: bytes, status: int, said: str
) -> None:
    refused(WEB.post(served.url + path, content=body), status, said)


@pytest.mark.parametrize(
    ("field", "content", "status", "said"),
    [
        ("image", b"", 400, "x.png: the file is empty"),
        ("image", b"hello", 400, "x.png: not a PNG, JPEG or WebP image"),
        ("image", png(0, (64, 64))[:60], 400, "x.png: cut off or broken"),
        ("image", bomb(5_000, 5_000), 413, "x.png: 5000 × 5000 pixels, above the limit of 1 mega"),
        ("image", bomb(50_000, 50_000), 413, "x.png: too many pixels"),
        ("image", bomb(2**31 - 1, 2**31 - 1), 413, "x.png: too many pixels"),
        ("image", png(0, (1, 1)), 400, "x.png: 1 × 1 pixels, too small"),
        ("file", png(), 400, "file: send images as files in the field 'image'"),
    ],
)
def test_files_that_are_refused(
    served: Running, field: str, content: bytes, status: int, said: str
) -> None:
    refused(WEB.post(served.url + PREDICT, files={field: ("x.png", content)}), status, said)


def test_forms_that_are_refused(served: Running) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    broken = WEB.post(served.url + PREDICT, content=b"--y\r\n", headers=head)
    refused(broken, 400, "request: not a form that can be read")
    empty = WEB.post(served.url + PREDICT, content=b"--x--\r\n", headers=head)
    refused(empty, 400, "image: none")
    unbounded = WEB.post(
        served.url + PREDICT, content=b"x", headers={"Content-Type": "multipart/form-data"}
    )
    refused(unbounded, 400, "request: not a form that can be read")
    many = [("image", (f"{n}.png", png())) for n in range(5)]
    refused(WEB.post(served.url + PREDICT, files=many), 400, "Too many files")
    files = {"image": ("x.png", png())}
    for name, said in (("image", "image: send images as files"), ("colour", "colour: unknown")):
        told = WEB.post(served.url + PREDICT, data={name: "red"}, files=[*files.items()])
        refused(told, 400, said)


def test_paths_and_methods_that_are_not_there(served: Running) -> None:
    refused(WEB.get(f"{served.url}/v1/completions"), 404, "there are /v1/predict, ")
    refused(WEB.get(served.url + PREDICT), 405, "Method Not Allowed; it takes POST")


def test_nothing_of_it_reached_the_model(served: Running) -> None:
    assert served.engine.batches == []


def refused(told: httpx.Response, status: int, said: str) -> None:
    assert told.status_code == status, told.text
    error = told.json()["error"]
    assert {*error} == {"message", "type", "param", "code"}
    assert said in error["message"]
    for text in (error["message"], error["param"] or ""):
        assert len(text) <= 1000
        assert text.isprintable()
    assert error["type"] == "invalid_request_error"
