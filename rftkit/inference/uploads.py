"""Images that strangers send: checked by their first bytes and their header before a decoder runs.

What is wrong with one is said to somebody who has no data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from PIL import Image

from rftkit.data.images import MEANT, REMEDY, open_safely, read_size
from rftkit.errors import DataError, TooLargeError

MAX_BYTES = 8_000_000
MAX_PIXELS = 25_000_000
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # PNG, JPEG, WebP
SMALL = "too small to show anything; "
MENDS = ((SMALL + REMEDY, SMALL + "choose a larger image"), (REMEDY, "choose another image"),
         (MEANT, "save it as PNG, JPEG or WebP"))  # fmt: skip


class Bounds(NamedTuple):
    """The largest image that is read: bytes of its file, pixels as its header says."""

    bytes: int = MAX_BYTES
    pixels: int = MAX_PIXELS


OURS = Bounds()


@dataclass(frozen=True)
class Upload:
    """An image that a visitor chose, to be decoded when it is needed."""

    content: bytes = field(repr=False)
    name: str

    def open(self) -> Image.Image:
        """The image, upright, mode RGB. Raises DataError, naming itself."""
        with _said_to_a_visitor():
            return open_safely(self.content, self.name)


def checked_upload(content: bytes, name: str, bounds: Bounds = OURS) -> Upload:
    """An uploaded image, checked by its first bytes and its header; nothing is decoded yet.

    Raises DataError for what is not PNG, JPEG or WebP, TooLargeError for what is too large.
    """
    check_bytes(len(content), name, bounds)
    if not content:
        raise DataError(f"{name}: the file is empty; choose another")
    if not content[:8].startswith(MAGIC) or (content[:4] == b"RIFF" and content[8:12] != b"WEBP"):
        raise DataError(f"{name}: not a PNG, JPEG or WebP image; save it as one of these")
    with _said_to_a_visitor():
        width, height = read_size(content, name)
    if width * height > bounds.pixels:
        raise TooLargeError(
            f"{name}: {width} × {height} pixels, above the limit of {bounds.pixels / 1e6:.3g} "
            "megapixels; make it smaller"
        )
    return Upload(content, name)


def check_bytes(size: int, name: str, bounds: Bounds = OURS) -> None:
    """Raises TooLargeError for a file above the limit."""
    if size > bounds.bytes:
        raise TooLargeError(
            f"{name}: {size / 1e6:.1f} MB, above the limit of {bounds.bytes / 1e6:.3g} MB; "
            "make it smaller"
        )


@contextmanager
def _said_to_a_visitor() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        message = str(error)
        for ours, theirs in MENDS:
            message = message.replace(ours, theirs)
        raise type(error)(message) from None
