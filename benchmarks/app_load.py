"""Load on the compare app: 1 to 128 clients at once, on a stub or on a model.

    python benchmarks/app_load.py                    # a stub of 0.2 s, without a model
    python benchmarks/app_load.py --ckpt out/run     # that run; --tiny: the built-in comparison
    python benchmarks/app_load.py --requests 1000    # and how much memory a thousand requests keep

Every client sends one image and a label of its own, and must get that label back. One line for
each number of clients: answered, refused because the queue was full, answers of someone else,
median and 95th percentile of the answered ones, and the bound (queue + 1) × model time × 1.5.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple

from PIL import Image
from rich.console import Console

from rftkit.app.limits import PRIVATE
from rftkit.app.opening import Served, open_model
from rftkit.app.serve import launch
from rftkit.core import Completion
from rftkit.inference.form import Asked, Setup
from rftkit.inference.panes import Pane, Piece
from rftkit.metrics.samples import Side
from rftkit.recipe.schema import Recipe

CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)
STUB_SECONDS = 0.2  # both sides
HEAD = "| clients | answered | refused | lost | wrong | median, s | p95, s | bound, s |"


class Call(NamedTuple):
    """What a client was told. answer: "" where it was refused."""

    seconds: float
    answer: str
    refused: str
    wanted: str


class Stub:
    """Names the first label of the list after half of STUB_SECONDS."""

    def stream(self, asked: Asked, side: Side, stop: Event) -> Iterator[Piece]:
        stop.wait(STUB_SECONDS / 2)
        text = f"<think>so</think><answer>{asked.example.choices[0]}</answer>"
        yield Piece(Completion(text, 5), STUB_SECONDS / 2, 0.01, 50, 4, True)

    def probabilities(self, asked: Asked, pane: Pane) -> Mapping[str, float]:
        return {}

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def main() -> None:
    """Parse, serve, call, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ckpt", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    parser.add_argument("--requests", type=int, default=0)
    given = parser.parse_args()
    served = _served(given.ckpt, given.tiny)
    page = launch(served, PRIVATE)
    image = _upload(page.local_url)
    [_call(page.local_url, image, 0) for _ in range(2)]
    alone = min(_call(page.local_url, image, 0).seconds for _ in range(3))
    print(f"{served.line}; alone {alone:.2f} s; queue of {PRIVATE.queue}\n\n{HEAD}")
    print("|--:" * 8 + "|")
    bound = (PRIVATE.queue + 1) * alone * 1.5
    for clients in given.clients:
        print(_row(_together(page.local_url, image, clients), clients, bound), flush=True)
    if given.requests:
        _memory(page.local_url, image, given.requests)
    page.close()


def _served(ckpt: Path | None, tiny: bool) -> Served:
    if ckpt or tiny:
        return open_model(ckpt, PRIVATE.seconds, Console(stderr=True))
    recipe = Recipe.model_validate(
        {"model": {"name": "tiny"}, "data": {"source": "digits", "shots": 1}}
    )
    return Served(f"a stub of {STUB_SECONDS} s", Setup(recipe, ("a", "b")), Stub())


def _together(url: str, image: str, clients: int) -> list[Call]:
    with ThreadPoolExecutor(clients) as pool:
        return [*pool.map(lambda number: _call(url, image, number), range(clients))]


def _call(url: str, image: str, number: int) -> Call:
    wanted, start = f"client {number}", time.perf_counter()
    body = {"data": [_file(image), "", "", f"{wanted}\nsomeone else", ""]}
    location = f"{url}gradio_api/call/compare"
    head = {"Content-Type": "application/json"}
    try:
        posted = urllib.request.Request(location, json.dumps(body).encode(), head)
        with urllib.request.urlopen(posted, timeout=300) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{location}/{event}", timeout=300) as stream:
            told = stream.read().decode()
    except urllib.error.HTTPError as error:
        return Call(time.perf_counter() - start, "", f"HTTP {error.code}", wanted)
    seconds = time.perf_counter() - start
    if "event: complete" not in told:
        return Call(seconds, "", told.strip()[-200:] or "nothing", wanted)
    (found,) = json.loads(told.rsplit("data: ", 1)[1])
    return Call(seconds, found["prompt"].split("Choose one of: ")[1].split(",")[0], "", wanted)


def _row(calls: list[Call], clients: int, bound: float) -> str:
    times = sorted(call.seconds for call in calls if call.answer)
    wrong = sum(call.answer not in ("", call.wanted) for call in calls)
    full = sum("503" in call.refused or "ull" in call.refused for call in calls)
    lost = sum(bool(call.refused) for call in calls) - full
    middle = f"{statistics.median(times):.2f}" if times else "–"
    high = f"{times[max(0, round(0.95 * len(times)) - 1)]:.2f}" if times else "–"
    parts = (clients, len(times), full, lost, wrong, middle, high, f"{bound:.2f}")
    return f"| {' | '.join(map(str, parts))} |"


def _memory(url: str, image: str, requests: int) -> None:
    for number in range(50):
        _call(url, image, number)
    before = _resident()
    for number in range(requests):
        _call(url, image, number)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{requests} requests: {_resident() - before:+.0f} MB kept, {peak:.0f} MB at most")


def _resident() -> float:
    """Megabytes of this process, the app among it."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def _upload(url: str) -> str:
    """The path at which the app keeps one uploaded image."""
    out = io.BytesIO()
    Image.new("RGB", (56, 56), "white").save(out, format="PNG")
    mark = "part"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + out.getvalue() + f"\r\n--{mark}--\r\n".encode()  # fmt: skip
    head = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    posted = urllib.request.Request(f"{url}gradio_api/upload", body, head)
    with urllib.request.urlopen(posted, timeout=60) as answer:
        return str(json.load(answer)[0])


def _file(path: str) -> dict[str, object]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


if __name__ == "__main__":
    main()
