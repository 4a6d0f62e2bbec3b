"""Requests that the service refuses: what is sent, and the status. The lines: `answers.jsonl`."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serve_fakes import data_url, png

from rftkit.serve.options import Limits

PREDICT, CHAT = "/v1/predict", "/v1/chat/completions"
LIMITS = Limits(bytes=200_000, images=2, pixels=1_000_000, tokens=64)
FORM = "multipart/form-data; boundary=x"


@dataclass(frozen=True)
class Request:
    """One request: body and headers as they travel."""

    name: str
    status: int
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


def sent(name: str, path: str, value: object, status: int = 400) -> Request:
    return Request(name, status, path, json.dumps(value).encode())


def predict(name: str, /, status: int = 400, **fields: object) -> Request:
    """A good request for the trained question, with these fields; "-" takes one out."""
    whole = {"image": data_url(), **fields}
    kept = {key: value for key, value in whole.items() if value != "-"}
    return sent(f"predict: {name}", PREDICT, kept, status)


def image(name: str, text: object, status: int = 400) -> Request:
    return predict(f"image: {name}", status, image=text)


WORDS = {"type": "text", "text": "Which?"}


def shown(url: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def user(*parts: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts]}]


def chat(name: str, /, status: int = 400, **fields: object) -> Request:
    """A good chat, with these fields; "-" takes one out."""
    whole = {"model": "digits", "messages": user(WORDS, shown(data_url())), **fields}
    kept = {key: value for key, value in whole.items() if value != "-"}
    return sent(f"chat: {name}", CHAT, kept, status)


def text(name: str, words: str) -> Request:
    return chat(f"text: {name}", messages=user({"type": "text", "text": words}, shown(data_url())))


def field_of(key: str, value: object, status: int = 400) -> Request:
    return chat(f"{key} = {json.dumps(value)[:40]}", status, **{key: value})


def said(name: str, messages: object, status: int = 400) -> Request:
    return chat(f"messages: {name}", status, messages=messages)


def raw(name: str, path: str, body: bytes, status: int = 400, kind: str = "") -> Request:
    headers = {"Content-Type": kind} if kind else {}
    return Request(name, status, path, body, headers)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header says so many pixels and whose data is nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        whole = kind + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b"")


def part(name: str, content: bytes, file: str = "") -> bytes:
    """One field of a form whose boundary is x; file: its name, of a file."""
    named = f'; filename="{file}"' if file else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(name: str, *parts: bytes, status: int = 400) -> Request:
    return raw(f"form: {name}", PREDICT, b"".join(parts) + b"--x--\r\n", status, FORM)


def file(name: str, content: bytes, status: int = 400) -> Request:
    return form(f"a file that is {name}", part("image", content, "x.png"), status=status)


def encoded(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def simple(name: str, origin: str, site: str = "") -> Request:
    """A good request, as any page may have a browser send it without asking first."""
    headers = {"Content-Type": "text/plain", "Origin": origin}
    body = json.dumps({"image": data_url()}).encode()
    return Request(name, 403, PREDICT, body, headers | ({"Sec-Fetch-Site": site} if site else {}))


CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
HUGE = b"9" * 10_000
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
BODIES = [
    raw("nothing", PREDICT, b""),
    raw("an open bracket", PREDICT, b"{"),
    raw("no UTF-8", PREDICT, b"\xff\xfe\x00"),
    raw("deep JSON", PREDICT, b"[" * 100_000),
    raw("deep objects", CHAT, b'{"a":' * 30_000),
    raw("a number of 10,000 digits", CHAT, b'{"model": ' + HUGE + b"}"),
    raw("NUL", CHAT, b"\0"),
    raw("two objects", CHAT, b"{}{}"),
    raw("a body above the limit", CHAT, b"x" * 200_001, 413),
    raw("a body far above the limit", PREDICT, b"x" * 2_000_000, 413),
    raw("JSON that says it is text", CHAT, b"hello", kind="text/plain"),
    raw("a form for a chat", CHAT, part("model", b"digits") + b"--x--\r\n", kind=FORM),
    raw("an image for a body", PREDICT, png(), kind="image/png"),
    sent("a list", PREDICT, [1]),
    sent("a text", CHAT, "hello"),
    sent("null", CHAT, None),
]
PATHS = [
    Request("a path that is not there", 404, "/v1/completions", method="GET"),
    Request("a path that leads out", 404, "/../../etc/passwd", method="GET"),
    Request("a path with a script", 404, "/%3Cscript%3E", method="GET"),
    Request("GET where POST is meant", 405, PREDICT, method="GET"),
    Request("another host", 421, "/health", headers={"Host": "evil.example"}, method="GET"),
    Request(
        "a host that looks like ours", 421, PREDICT, headers={"Host": "localhost.evil.example"}
    ),
    simple("a page of another site", "http://evil.example", "cross-site"),
    simple("a page that does not say whose it is", "null", "cross-site"),
    simple("a page of another site, in an old browser", "http://127.0.0.1.evil.example"),
    Request("an image of another site's page", 403, "/metrics", headers=CROSS, method="GET"),
    Request("PUT", 405, CHAT, b"{}", method="PUT"),
    Request("DELETE of the models", 405, "/v1/models", method="DELETE"),
]
IMAGES = [
    image("an address", "http://10.0.0.1/x.png"),
    image("an address in capitals", " HTTPS://10.0.0.1/x.png"),
    image("a file address", "file:///etc/passwd"),
    image("an address without scheme", "//host/x.png"),
    image("a path", "/etc/passwd"),
    image("letters", "äöü"),
    image("half base64", "QUJD*"),
    image("no comma", "data:image/png;base64"),
    image("stars", "data:image/png;base64,****"),
    image("half a surrogate pair", "data:text/plain,\ud800"),
    image("text in a data URL", "data:text/plain,hello"),
    image("no image", "QUJDRA=="),
    image("empty", ""),
    image("an empty data URL", "data:image/png;base64,"),
    image("a number", 3),
    image("a list", [data_url()]),
    image("an object", {"url": data_url()}),
    image("null", None),
    image("SVG", encoded(SVG)),
    image("HTML", encoded(b"<html><script>alert(1)</script>")),
    image("GIF", encoded(b"GIF89a" + bytes(20))),
    image("cut off", encoded(png(0, (64, 64))[:60])),
    image("a bomb", encoded(bomb(5_000, 5_000)), 413),
    image("a larger bomb", encoded(bomb(50_000, 50_000)), 413),
    image("the largest bomb", encoded(bomb(2**31 - 1, 2**31 - 1)), 413),
    image("a point", encoded(png(0, (1, 1)))),
    image("a line", encoded(png(0, (9_000, 12)))),
]
PREDICTED = [
    predict("no image", image="-"),
    predict("three images", 413, image="-", images=[data_url()] * 3),
    predict("images that are a text", images="x"),
    predict("an address among images", images=["ftp://x/y"]),
    predict("a number among images", images=[3]),
    predict("an unknown field", img=data_url()),
    predict("an unknown field of 9000 letters", **{"img\x07" + "a" * 9000: ""}),
    predict("another model", 404, model="gpt"),
    predict("a model that is a number", model=3),
    predict("a question of no use", question="why?"),
    predict("a category of no use", ask=["cat"]),
    predict("an option of no use", option=["cat"]),
    predict("101 options", option=["x"] * 101),
    predict("a name of 300 letters", name="x" * 300),
    predict("a question of 20 KB", question="x" * 20_000),
    predict("a question that is null", question=None),
    predict("an option with a token", option=["<|im_end|>"]),
    predict("half a surrogate pair", question="\ud800"),
]
FIELDS = [
    field_of("model", "other", 404),
    field_of("model", None),
    field_of("model", ["digits"]),
    field_of("n", 2),
    field_of("n", 0),
    field_of("n", "many"),
    field_of("logprobs", True),
    field_of("top_logprobs", 3),
    field_of("stop", ["x"]),
    field_of("tools", [{"type": "function"}]),
    field_of("tool_choice", "required"),
    field_of("functions", [{"name": "f"}]),
    field_of("response_format", {"type": "json_object"}),
    field_of("frequency_penalty", 1),
    field_of("presence_penalty", -1),
    field_of("logit_bias", {"1": 100}),
    field_of("modalities", ["audio"]),
    field_of("temperature", 3),
    field_of("temperature", -1),
    field_of("temperature", "hot"),
    field_of("temperature", float("nan")),
    field_of("temperature", float("inf")),
    field_of("temperature", [1]),
    field_of("top_p", 0),
    field_of("top_p", 2),
    field_of("top_p", float("nan")),
    field_of("max_tokens", 65),
    field_of("max_tokens", 0),
    field_of("max_tokens", -1),
    field_of("max_tokens", 1.5),
    field_of("max_tokens", 10**30),
    field_of("max_completion_tokens", 0),
    field_of("max_completion_tokens", "many"),
    field_of("seed", "x"),
    field_of("seed", 1.5),
    field_of("stream", "perhaps"),
    field_of("stream_options", "all"),
    field_of("colour", "red"),
    field_of("\x1b[2J", 1),
]
MESSAGES = [
    said("missing", "-"),
    said("none", []),
    said("a text", "hello"),
    said("a number in the list", [3]),
    said("no role", [{"content": "hello"}]),
    said("a role that is a number", [{"role": 3, "content": "hello"}]),
    said("no content", [{"role": "user"}]),
    said("content that is null", [{"role": "user", "content": None}]),
    said("content that is a number", [{"role": "user", "content": 3}]),
    said("21 of them", [{"role": "system", "content": "x"}] * 21),
    said("no image", [{"role": "user", "content": "hello"}]),
    said("an address", user(WORDS, shown("https://x.org/a.png"))),
    said("base64 without its head", user(WORDS, shown("iVBORw0KGgo="))),
    said("a file address", user(WORDS, shown("file:///etc/passwd"))),
    said("an image that is a number", user(WORDS, shown(3))),
    said("an image that is a text", user(WORDS, {"type": "image_url", "image_url": data_url()})),
    said("SVG", user(WORDS, shown(encoded(SVG)))),
    said("a bomb", user(WORDS, shown(encoded(bomb(5_000, 5_000)))), 413),
    said("sound", user(WORDS, {"type": "input_audio"})),
    said("a part without type", user({"text": "hello"}, shown(data_url()))),
    said("a part that is a text", user("hello", shown(data_url()))),
    said("a text that is a number", user({"type": "text", "text": 3}, shown(data_url()))),
    said("two images and no text", user(shown(data_url()), shown(data_url()))),
    said("three images", user(WORDS, *[shown(data_url())] * 3), 413),
    said("two users", [*user(WORDS), *user(shown(data_url()))]),
    said("an assistant", [{"role": "assistant", "content": "hi"}]),
    said("a tool", [{"role": "tool", "content": "hi"}, *user(WORDS, shown(data_url()))]),
    said("a role with ESC", [{"role": "\x1b[2J", "content": "hi"}]),
    text("a token of the template", "<|im_end|>"),
    text("the token of images", "<image>"),
    text("half a surrogate pair", "\ud800"),
    text("12,001 letters", "x" * 12_001),
    text("20 KB", "word " * 4_000),
]
FILES = [
    file("empty", b""),
    file("text", b"hello"),
    file("SVG", SVG),
    file("cut off", png(0, (64, 64))[:60]),
    file("a bomb", bomb(5_000, 5_000), 413),
    file("a point", png(0, (1, 1))),
    form("nothing"),
    form("another field", part("file", png(), "x.png")),
    form("an image that is a text", part("image", b"red")),
    form("an unknown text", part("colour", b"red"), part("image", png(), "x.png")),
    form("five files", *[part("image", png(), f"{n}.png") for n in range(5)]),
    form("201 texts", *[part("ask", b"cat")] * 201),
    form("a text of 150 KB", part("question", b"x" * 150_000)),
    raw("form: another boundary", PREDICT, b"--y\r\n", kind=FORM),
    raw("form: no boundary", PREDICT, b"x", kind="multipart/form-data"),
    raw("form: a part without head", PREDICT, b"--x\r\n\r\nx\r\n--x--\r\n", kind=FORM),
]
ROWS = [*BODIES, *PATHS, *IMAGES, *PREDICTED, *FIELDS, *MESSAGES, *FILES]
