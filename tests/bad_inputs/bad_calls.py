"""Calls that the app refuses: what is asked of /compare, /score and the files of its server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import app_fakes
from bad_requests import SVG, bomb
from serve_fakes import WEB, png

from rftkit.app.limits import PRIVATE, Limits

REPLIES = {"base": app_fakes.REPLY.format("6"), "tuned": app_fakes.REPLY.format("5")}
PHOTO = png(9, (56, 56))


@dataclass(frozen=True)
class Call:
    """One call. image: what is uploaded first, in place of `data`'s first value."""

    name: str
    call: str
    data: Sequence[object]
    image: bytes | None = None


@contextmanager
def opened(limits: Limits = PRIVATE) -> Iterator[str]:
    """The address of an app whose models are fakes."""
    with opened_page(limits) as page:
        yield page.local_url


@contextmanager
def opened_page(limits: Limits = PRIVATE) -> Iterator[Any]:
    """The same, as Gradio's own object."""
    from rftkit.app.opening import open_recorded
    from rftkit.app.serve import launch

    with tempfile.TemporaryDirectory() as folder:
        replay = open_recorded(app_fakes.samples_file(Path(folder)))
        backend = app_fakes.HeldBackend(REPLIES)
        page = launch(replace(replay, backend=backend, replay=False), limits)
        try:
            yield page
        finally:
            page.close()


def told_by_app(url: str, row: Call) -> str:
    """The line that a call ends with, or what it answers where it is not refused.

    What Gradio itself refuses has no line of ours.
    """
    data = [*row.data]
    if row.image is not None:
        stored = WEB.post(f"{url}gradio_api/upload", files={"files": ("x.png", row.image)})
        if stored.status_code != 200:
            return f"{stored.status_code} {stored.text}"
        data[0] = described(stored.json()[0])
    call = f"{url}gradio_api/call/{row.call}"
    begun = WEB.post(call, content=json.dumps({"data": data}).encode(), headers=JSON)
    if begun.status_code != 200:
        return f"{begun.status_code} {begun.text}"
    ended = WEB.get(f"{call}/{begun.json()['event_id']}").text
    event, _, rest = ended.rpartition("event: ")[2].partition("\ndata: ")
    if event != "error":
        return f"{event}: {rest}"
    return str(json.loads(rest)["error"] or GRADIO)


def described(path: object) -> dict[str, object]:
    """A file as Gradio's clients name it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def asked(name: str, *texts: object, image: bytes = PHOTO) -> Call:
    """/compare about an image: the right answer, task, labels, question."""
    return Call(f"compare: {name}", "compare", [None, *texts, *[""] * (4 - len(texts))], image)


def located(name: str, value: object) -> Call:
    return Call(f"compare: {name}", "compare", [value, "", "", "", ""])


def scored(name: str, *values: object) -> Call:
    """/score: completion, gold, task, style, choices."""
    return Call(f"score: {name}", "score", [*values, *["", "", "", "", None][len(values) :]])


GRADIO = "refused by Gradio, which does not say why"
JSON = {"Content-Type": "application/json"}
THOUSAND = json.dumps([[1, 2, 30, 40]] * 1000)
FOUND = json.dumps([{"Position": [1, 2, 30, 40]}] * 1000)
ROWS = [
    located("no image", None),
    located("a text for an image", "x.png"),
    located("a list for an image", [1]),
    located("a path", described("/etc/passwd")),
    located("a path that leads out", described("../../etc/passwd")),
    located("an address", described("http://127.0.0.1:9/x.png")),
    located("a file address", described("file:///etc/passwd")),
    located("a path that is a number", described(3)),
    located("an address deep inside", {"image": [described("http://127.0.0.1:9/x.png")]}),
    Call("compare: an address for a text", "compare", [None, described("http://10.0.0.1/x"), ""]),
    scored("an address for a text", described(" HTTPS://10.0.0.1/x")),
    scored("an address for a list", "x", "5", "", "", [{"url": "//10.0.0.1/x"}]),
    scored("a completion of 2 MB", "x" * 2_000_000, "5"),
    asked("an empty file", image=b""),
    asked("text", image=b"hello"),
    asked("SVG", image=SVG),
    asked("a bomb", image=bomb(50_000, 50_000)),
    asked("too many pixels", image=bomb(6_000, 6_000)),
    asked("a point", image=png(0, (1, 1))),
    asked("too large a file", image=PHOTO + bytes(9_000_000)),
    asked("a truth that is no label", "eleven"),
    asked("a truth of 5,000 letters", "x" * 5_000),
    asked("another task", "", "cooking"),
    asked("a task with ESC", "", "\x1b[2J"),
    asked("one option", "", "choice", "only one"),
    asked("labels of 20 KB", "", "", "x" * 20_000),
    asked("a label with a tag", "", "", "a\n<answer>"),
    asked("a label with a token", "", "", "a\n<|im_end|>"),
    asked("labels that read the same", "", "", "cat\nCAT"),
    asked("a question of 20 KB", "", "choice", "a\nb", "x" * 20_000),
    asked("half a surrogate pair", "", "", "a\n\ud800"),
    asked("boxes that are none", "[[1, 2", "grounding", "", "the cat"),
    asked("an endless box", "[1, 2, 1e999, 4]", "grounding", "", "the cat"),
    scored("another task", "x", "5", "cooking"),
    scored("another style", "x", "5", "", "loud"),
    scored("a label that is none", "x", ""),
    scored("a completion of 200 KB", "x" * 200_000, "5"),
    scored("1,000 x 1,000 boxes", FOUND, THOUSAND, "detection", "direct"),
    scored("deep gold", "[]", "[" * 10_000, "detection", "direct"),
    scored("an endless gold box", "[]", "[[1, 2, 1e999, 4]]", "detection", "direct"),
    scored("gold of three numbers", "[]", "[[1, 2, 3]]", "detection", "direct"),
    scored("choices that are a text", "x", "5", "", "", "5"),
    Call("score: no values", "score", []),
]
