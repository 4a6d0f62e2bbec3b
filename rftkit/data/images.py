"""Images that are read when they are needed, and read safely: any file in, upright RGB out."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from rftkit.core import LazyImage
from rftkit.errors import DataError, TooLargeError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 48 * 1024**2  # a 50-megapixel phone fits; decoded it takes 150 MB
MAX_BYTES = 200_000_000
MIN_SIDE = 2  # pixels
MAX_ASPECT = 200  # the Qwen processors refuse what is longer
REMEDY = "replace the file or take it out of the data"
MEANT = f"save it as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or take it out of the data"

# What Pillow's readers raise on broken files; MemoryError is a header that lies about its size.
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(EOFError, OverflowError, MemoryError, struct.error, Image.DecompressionBombError),
)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112

# What matters is raised with the file's name; Pillow's warnings on odd headers name nothing.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class FileImage:
    """An image in a file. `name` is its path inside the data set, the same on every machine."""

    path: PathLike[str]
    name: str

    def open(self) -> Image.Image:
        """The image, upright, mode RGB. Raises DataError, naming the file."""
        return open_safely(Path(self.path), str(self.path))


@dataclass(frozen=True)
class BytesImage:
    """An image that came as bytes: an upload, or a cell of a table."""

    content: bytes = field(repr=False)
    name: str

    def open(self) -> Image.Image:
        """The image, upright, mode RGB. Raises DataError, naming itself."""
        return open_safely(self.content, self.name)


def open_safely(source: Path | bytes, name: str) -> Image.Image:
    """The image, decoded in full, upright, mode RGB, nothing in `info` but perhaps a `note`.

    The header is read first: an image above MAX_PIXELS is refused before it is decoded. Of an
    animation or a file of several pages the first frame is taken, and `info["note"]` says so.
    Raises DataError, naming `name`, for anything that is not a whole image.
    """
    with _header(source, name) as image:
        note = several_frames(image)
        try:
            image.load()
        except BROKEN as error:
            raise DataError(f"{name}: cut off or broken ({error}); {REMEDY}") from error
        upright = to_rgb(_upright(image))
    upright.info = {"note": note} if note else {}
    return upright


def read_size(source: Path | bytes, name: str) -> tuple[int, int]:
    """Width and height as stored, from the header alone. Raises DataError as `open_safely` does."""
    with _header(source, name) as image:
        return image.size


def upright_size(image: LazyImage) -> tuple[int, int]:
    """Width and height of an image as it is shown, from the header alone where it is a file."""
    if not isinstance(image, FileImage):
        return image.open().size
    with _header(Path(image.path), str(image.path)) as header:
        try:  # a PNG without EXIF in its header would be decoded to the end in search of it
            looked_for = header.format != "PNG" or "exif" in header.info
            turned = looked_for and header.getexif().get(ORIENTATION, 1) >= 5
        except BROKEN:
            turned = False  # as in _upright: broken EXIF says nothing
        width, height = header.size
    return (height, width) if turned else (width, height)


def to_rgb(image: Image.Image) -> Image.Image:
    """A new image, mode RGB: on white where it is clear, 16-bit and real values scaled."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return image.convert("RGB")


def several_frames(image: Image.Image) -> str:
    """What to say of an opened file that holds more than the frame that is used; "" if nothing."""
    try:
        frames = getattr(image, "n_frames", 1)  # Pillow gives it to formats with frames only
    except BROKEN:
        return ""  # a broken tail; the first frame decides whether the file is refused
    if frames == 1 or image.format == "MPO":  # a phone's JPEG with a preview behind it
        return ""
    return f"{frames} frames; the first one is used"


def _header(source: Path | bytes, name: str) -> Image.Image:
    """The image with only its header read, checked against the limits."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have set it
    _check_bytes(source, name)
    try:
        file = BytesIO(source) if isinstance(source, bytes) else source
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{name}: too many pixels ({error}); make it smaller") from error
    except BROKEN as error:
        raise DataError(f"{name}: {_what_instead(_start(source))}") from error
    try:
        _check_size(image, name)
    except DataError:
        image.close()
        raise
    return image


def _check_bytes(source: Path | bytes, name: str) -> None:
    if isinstance(source, bytes):
        size = len(source)
    elif not source.is_file():  # a pipe or a device would be waited for
        raise DataError(f"{name}: no such file; check the path")
    else:
        size = source.stat().st_size
    if size == 0:
        raise DataError(f"{name}: the file is empty (0 bytes); {REMEDY}")
    if size > MAX_BYTES:
        limit = f"the limit of {MAX_BYTES / 1e6:.0f} MB"
        raise TooLargeError(f"{name}: {size / 1e6:.0f} MB, above {limit}; make it smaller")


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    shape = f"{width} × {height} pixels"
    if width * height > MAX_PIXELS:
        limit = f"the limit of {MAX_PIXELS / 1e6:.0f} megapixels"
        raise TooLargeError(f"{name}: {shape}, above {limit}; make it smaller")
    if min(width, height) < MIN_SIDE:
        raise DataError(f"{name}: {shape}, too small to show anything; {REMEDY}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"{name}: {shape}, longer than {MAX_ASPECT} : 1; crop it")


def _start(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:512]
    with source.open("rb") as file:
        return file.read(512)


def _what_instead(start: bytes) -> str:
    """What a file that is no image seems to be, from its first bytes, and what to do."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text:
        return f"an SVG drawing, not an image of pixels; {MEANT}"
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return f"a web page, not an image; a failed download? {REMEDY}"
    if start.startswith(b"%PDF-"):
        return f"a PDF document, not an image of pixels; {MEANT}"
    if start.isascii() and b"\0" not in start:
        return f"text, not an image; {REMEDY}"
    if start[4:8] == b"ftyp":
        return f"a HEIC, AVIF or video file, which is not read; {MEANT}"
    return f"not an image that can be read; {MEANT}"


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except BROKEN:
        return image  # broken EXIF says nothing; the pixels are good
    return image if turn is None else image.transpose(turn)


def _eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """values: (height, width), 16-bit, 32-bit or real. Returns uint8 of the same shape.

    16-bit values are out of 65535. The other modes declare no range: it is taken as the first
    of 1 (reals only), 255 and 65535 that holds all values, else as the image's own.
    """
    levels = np.nan_to_num(values.astype(np.float64))
    low, high = float(levels.min()), float(levels.max())
    tops = (65535.0,) if mode.startswith("I;16") else (1.0, 255.0, 65535.0)[mode == "I" :]
    if low >= 0 and high <= tops[-1]:
        low, high = 0.0, next(top for top in tops if high <= top)
    return np.round((levels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
