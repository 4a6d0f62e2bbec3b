"""Images in requests: base64, data URLs and files; a URL of another place is never fetched."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from PIL import Image

from rftkit.errors import DataError, TooLargeError
from rftkit.inference.uploads import Bounds, Upload, checked_upload
from rftkit.messages import printable
from rftkit.serve.errors import ApiError

KEPT_PIXELS = 1_000_000  # of a decoded image that waits: a full queue then takes little memory
NAME_LENGTH = 200
URL = re.compile(r"\s*([a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
NEVER = "a URL is never fetched; send the image itself as a data URL"


@dataclass(frozen=True)
class Picture:
    """An image of a request, decoded once to see that it is whole; large ones again in their turn.

    pixels: None of an image above KEPT_PIXELS.
    """

    name: str
    upload: Upload
    pixels: Image.Image | None = field(default=None, repr=False)

    def open(self) -> Image.Image:
        """The image, upright, mode RGB."""
        return self.pixels or self.upload.open()


def picture(content: bytes, name: str, bounds: Bounds, param: str) -> Picture:
    """An image of a request. Raises ApiError 413 for one too large, 400 for one that is broken."""
    shown = printable(name)[:NAME_LENGTH] or "image"
    try:
        upload = checked_upload(content, shown, bounds)
        pixels = upload.open()
    except TooLargeError as error:
        raise ApiError(413, str(error), param=param, code="image_too_large") from None
    except DataError as error:
        raise ApiError(400, str(error), param=param, code="invalid_image") from None
    kept = pixels if pixels.width * pixels.height <= KEPT_PIXELS else None
    return Picture(shown, upload, kept)


def from_base64(text: str, param: str) -> bytes:
    """The bytes that a base64 text or a data URL holds. Raises ApiError for anything else."""
    if text[:5].lower() == "data:":
        return from_data_url(text, param)
    if URL.match(text[:40]):
        raise ApiError(400, f"{param}: {NEVER}", param=param, code="url_not_allowed")
    return _decoded(text, param)


def from_data_url(text: str, param: str) -> bytes:
    """The bytes of a data URL. Raises ApiError for any other URL, and for a broken one."""
    if text[:5].lower() != "data:":
        raise ApiError(400, f"{param}: {NEVER}", param=param, code="url_not_allowed")
    head, comma, data = text.partition(",")
    if not comma:
        line = f"{param}: a data URL without a comma; write data:image/png;base64,…"
        raise ApiError(400, line, param=param, code="invalid_data_url")
    if head.lower().endswith(";base64"):
        return _decoded(data, param)
    try:
        return unquote_to_bytes(data)
    except UnicodeEncodeError:
        line = f"{param}: half a surrogate pair, which is no image; send base64"
        raise ApiError(400, line, param=param, code="invalid_data_url") from None


def _decoded(text: str, param: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        line = f"{param}: not base64; encode the bytes of the image file"
        raise ApiError(400, line, param=param, code="invalid_base64") from None
