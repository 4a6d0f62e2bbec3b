"""Load on `rftkit serve`: 1 to 64 clients, batched beside one by one.

    rftkit train tiny_direct --out out/direct
    python benchmarks/serve_load.py --ckpt out/direct              # the default --max-batch and 1
    python benchmarks/serve_load.py --ckpt out/direct --images 256 # of the built-in digits

Two services of the same model run at once, and each number of clients asks one after the other, so
that both see the same machine. Every client sends one image after another. One line for each number
of clients: images a second of both, their ratio, the batched service's median and 95th percentile
in seconds, and how many of its labels differ from those that a single client got one by one.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
HEAD = (
    "clients",
    "batched, images/s",
    "one by one",
    "ratio",
    "median, s",
    "p95, s",
    "other labels",
)
MARK = "rftkit"


class Told(NamedTuple):
    """What all clients together were told: labels by image, seconds of each, images a second."""

    labels: list[object]
    seconds: list[float]
    rate: float


def main() -> None:
    """Parse, serve twice, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ckpt", type=Path, required=True)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    given = parser.parse_args()
    bodies = [_form(content) for content in _images(given.images)]
    with ExitStack() as stack:
        batched, single = (_service(stack, given.ckpt, batch) for batch in (given.max_batch, 1))
        for port in (batched, single):
            _ask(port, bodies[:8], 4)  # the first requests warm up caches
        alone = _ask(single, bodies, 1).labels
        print(f"{platform.processor() or platform.machine()}, --max-batch {given.max_batch}\n")
        print(f"| {' | '.join(HEAD)} |\n{'|--:' * len(HEAD)}|")
        for clients in given.clients:
            pair = _ask(batched, bodies, clients), _ask(single, bodies, clients)
            print(_row(clients, *pair, alone), flush=True)


def _images(count: int) -> list[bytes]:
    """Digits of the test split, as PNG files."""
    from rftkit.data.sources.builtin import digits_rows

    files = []
    for row in itertools.islice(itertools.cycle(digits_rows("test")), count):
        out = io.BytesIO()
        row.image.open().save(out, format="PNG")
        files.append(out.getvalue())
    return files


def _service(stack: ExitStack, ckpt: Path, batch: int) -> int:
    """Start one that ends with the stack; the port at which it listens."""
    command = [sys.executable, "-m", "rftkit", "serve", "--ckpt", str(ckpt), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--max-batch", str(batch)], stderr=subprocess.PIPE, text=True
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"serving at http://[^:]+:(\d+)", line):
            return int(found[1])
    raise SystemExit(f"the service did not start, exit code {process.wait()}")


def _ask(port: int, bodies: Sequence[bytes], clients: int) -> Told:
    """Each client takes the next image until there is none."""
    left = iter(enumerate(bodies))  # CPython hands out each item once
    labels: list[object] = [None] * len(bodies)
    seconds = list[float]()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        head = {"Content-Type": f"multipart/form-data; boundary={MARK}"}
        for number, body in left:
            start = time.perf_counter()
            connection.request("POST", "/v1/predict", body, head)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            assert answer.status == 200, told
            seconds.append(time.perf_counter() - start)
            labels[number] = told["predictions"][0]["answer"]
        connection.close()

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return Told(labels, sorted(seconds), len(bodies) / (time.perf_counter() - start))


def _row(clients: int, batched: Told, single: Told, alone: Sequence[object]) -> str:
    times = batched.seconds
    other = sum(a != b for a, b in zip(batched.labels, alone, strict=True))
    parts = (
        clients, f"{batched.rate:.1f}", f"{single.rate:.1f}", f"{batched.rate / single.rate:.2f}",
        f"{statistics.median(times):.2f}", f"{times[max(0, round(0.95 * len(times)) - 1)]:.2f}",
        other,
    )  # fmt: skip
    return f"| {' | '.join(map(str, parts))} |"


def _form(content: bytes) -> bytes:
    """A multipart body with one image."""
    head = (
        f'--{MARK}\r\nContent-Disposition: form-data; name="image"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{MARK}--\r\n".encode()


if __name__ == "__main__":
    main()
