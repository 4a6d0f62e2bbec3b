"""Servers on this machine that a W&B client may find: silent, refusing, or falling silent later."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROJECT = {"id": "1", "name": "rftkit", "entity": {"id": "2", "name": "anna"}}


@contextmanager
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that opens any run if status is 200; all the rest waits for the end.

    With any other status that is its answer to everything.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = _opening(self.rfile.read(int(self.headers["Content-Length"])))
            if status == 200 and data is None:
                over.wait()
            body = json.dumps({"data": data}).encode()
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _opening(asked: bytes) -> dict[str, object] | None:
    """What opens a run, the first of its id; None for any other request."""
    if b" RunResumeStatus " in asked:
        return {"model": None}
    if b" UpsertBucket " not in asked:
        return None
    bucket = {
        "id": "3", "name": json.loads(asked)["variables"]["name"], "displayName": "pets",
        "description": "", "config": "{}", "sweepName": "", "historyLineCount": 0,
        "project": PROJECT,
    }  # fmt: skip
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}
