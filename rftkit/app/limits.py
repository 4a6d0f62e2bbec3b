"""What a visitor may ask of the app, and what a public one allows less of."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from PIL import Image

from rftkit.core import LazyImage
from rftkit.data.images import MEANT, REMEDY, open_safely, read_size
from rftkit.errors import DataError, UserError

MAX_BYTES = 8_000_000
MAX_UPLOAD = "16mb"  # above it Gradio refuses in its own words, below it we do in ours
MAX_PIXELS = 25_000_000
KEPT_SECONDS = 3600  # uploads
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # PNG, JPEG, WebP
SMALL = "too small to show anything; "
MENDS = ((SMALL + REMEDY, SMALL + "choose a larger image"), (REMEDY, "choose another image"),
         (MEANT, "save it as PNG, JPEG or WebP"))  # fmt: skip


@dataclass(frozen=True)
class Upload:
    """An image that a visitor chose: what is wrong with it is said to one without a data set."""

    content: bytes = field(repr=False)
    name: str

    def open(self) -> Image.Image:
        """The image, upright, mode RGB. Raises DataError, naming itself."""
        with _said_to_a_visitor():
            return open_safely(self.content, self.name)


@dataclass(frozen=True)
class Limits:
    """queue: waiting and running jobs; seconds: for one side; per_minute: runs of one address."""

    queue: int = 16
    tokens: int = 1024
    seconds: float = 120.0
    per_minute: int = 0


PRIVATE = Limits()
PUBLIC = Limits(queue=8, tokens=256, seconds=30.0, per_minute=12)


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
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{name}: {size / 1e6:.1f} MB, above the limit of {MAX_BYTES / 1e6:.0f} MB; "
                "make it smaller"
            )
        content = path.read_bytes()
    except OSError:
        raise DataError(
            f"{name}: no longer here, uploads are kept for an hour; upload it again"
        ) from None
    if content[:8].startswith(MAGIC) and (content[:4] != b"RIFF" or content[8:12] == b"WEBP"):
        with _said_to_a_visitor():
            width, height = read_size(content, name)
    elif content:
        raise DataError(f"{name}: not a PNG, JPEG or WebP image; save it as one of these")
    else:
        raise DataError(f"{name}: the file is empty; choose another")
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{name}: {width} × {height} pixels, above the limit of {MAX_PIXELS / 1e6:.0f} "
            "megapixels; make it smaller"
        )
    return Upload(content, name)


@contextmanager
def _said_to_a_visitor() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        message = str(error)
        for ours, theirs in MENDS:
            message = message.replace(ours, theirs)
        raise DataError(message) from None


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
