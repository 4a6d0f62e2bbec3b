"""Which file an annotation tool means: by its upload path, its storage's address or its name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from rftkit.data.images import SUFFIXES, FileImage
from rftkit.data.paths import DataPath, image_in
from rftkit.errors import DataError

UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of an upload
PLACES = ("", "images")  # below the folder of the images
TAILS = 4  # parts of a path, from its end, that are looked for together
LONGEST = 4_000  # characters of an address


def path_in(address: str) -> str:
    """The path that an address leads to, without server, bucket and query.

    >>> path_in("/data/local-files/?d=shop%20a/1.jpg"), path_in("s3://bucket/shop/1.jpg?x=y")
    ('shop a/1.jpg', '/shop/1.jpg')
    """
    if len(address) > LONGEST or "\\" in address:
        return address[:LONGEST].replace("\\", "/")
    try:
        parts = urlsplit(address)
    except ValueError:  # such as an IPv6 server without its bracket
        return address
    inside = parse_qs(parts.query).get("d", [])
    if inside and "local-files" in parts.path:
        return inside[0]
    known = parts.scheme or parts.path.startswith("/data/")
    return unquote(parts.path) if known else address


def is_image(address: object) -> bool:
    """Whether an address ends as an image file does."""
    if not isinstance(address, str) or address.startswith("data:"):
        return False
    return PurePosixPath(path_in(address)).suffix.lower() in SUFFIXES


def tails(address: str) -> list[str]:
    """Paths to look for, the longest end of the address first; at last without an upload's prefix.

    >>> tails("/data/upload/3/0a1b2c3d-cat.jpg")
    ['data/upload/3/0a1b2c3d-cat.jpg', 'upload/3/0a1b2c3d-cat.jpg', '3/0a1b2c3d-cat.jpg', \
'0a1b2c3d-cat.jpg', 'cat.jpg']
    """
    parts = [part for part in path_in(address).split("/") if part not in ("", ".", "..")]
    ends = ["/".join(parts[start:]) for start in range(max(0, len(parts) - TAILS), len(parts))]
    plain = UPLOADED.sub("", parts[-1], count=1) if parts else ""
    return list(dict.fromkeys([*ends, *([plain] if plain else [])]))


def find_image(root: DataPath, address: str, location: str) -> FileImage:
    """The image that an address means, by the end of its path, in a folder or its `images`.

    Raises DataError, with the file's name, if none is there.
    """
    looked = tails(address)
    if not looked or max(map(len, looked[-1].split("/"))) > 255:
        raise DataError(f"{location}: {address[:60]!r} names no image file; fix it")
    for end in looked:
        for place in PLACES:
            name = f"{place}/{end}" if place else end
            if _is_file(root / name):
                return image_in(root, name, location)
    raise DataError(
        f"{location}: no image {looked[min(len(looked) - 1, TAILS)]!a:.80} in {root}/; download it "
        "there, or set data.images"
    )


def _is_file(path: DataPath) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
