"""What a visitor may ask of the app, and what a public one allows less of."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from rftkit.core import LazyImage
from rftkit.errors import DataError, UserError
from rftkit.inference.uploads import check_bytes, checked_upload
from rftkit.web.hosts import LOOPBACK

MAX_UPLOAD = "16mb"  # above it Gradio refuses in its own words, below it we do in ours
KEPT_SECONDS = 3600  # uploads
MOST_KEPT = 2_000_000_000  # bytes of the folder that uploads and downloads lie in
MOST_JSON = 1_000_000  # bytes of any other request
UPLOAD_SECONDS = 600.0  # for one request


@dataclass(frozen=True)
class Limits:
    """How much the app takes.

    queue: waiting and running jobs. seconds: for one side. per_minute: runs of one address.
    upload: bytes of all files in one request.
    """

    queue: int = 16
    tokens: int = 1024
    seconds: float = 120.0
    per_minute: int = 0
    upload: int = 500_000_000


PRIVATE = Limits()
PUBLIC = Limits(queue=8, tokens=256, seconds=30.0, per_minute=12, upload=100_000_000)


def check_sharing(host: str, share: bool, auth: str, public: bool) -> None:
    """Raises UserError if others could open the app without a password or an explicit --public."""
    if auth and not all(auth.partition(":")[::2]):
        raise UserError("--auth: write it as USER:PASSWORD, neither part empty")
    if (share or host not in LOOPBACK) and not (auth or public):
        what = "--share" if share else f"--host {host}"
        raise UserError(
            f"{what}: others could use your machine; add --auth USER:PASS, or --public for everyone"
        )


def read_upload(path: Path, name: str = "the image") -> LazyImage:
    """An uploaded image, checked by its first bytes and its header; nothing is decoded yet.

    Raises DataError for what is not PNG, JPEG or WebP, or too large.
    """
    try:
        check_bytes(path.stat().st_size, name)
        content = path.read_bytes()
    except OSError:
        raise DataError(
            f"{name}: no longer here, uploads are kept for an hour at most; upload it again"
        ) from None
    return checked_upload(content, name)


@dataclass
class Meter:
    """Counts the runs of each address in the last minute. most: 0 counts nothing."""

    most: int
    times: dict[str, deque[float]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def count(self, address: str) -> None:
        """Raises UserError for one run too many."""
        if not self.most:
            return
        now = time.monotonic()
        with self.lock:
            for silent_address in [
                a for a, seen in self.times.items() if seen and now - seen[-1] > 60
            ]:
                del self.times[silent_address]
            seen = self.times.setdefault(address, deque())
            while seen and now - seen[0] > 60:
                seen.popleft()
            if len(seen) >= self.most:
                raise UserError(f"{self.most} runs a minute are allowed here; wait a little")
            seen.append(now)
