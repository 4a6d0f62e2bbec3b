"""Images and tables that are not there, not whole, or not what they say."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bad_rows import Row, recipe
from PIL import Image

CHECK = ("check", "r.toml")
Files = dict[str, str | bytes]


def picture(kind: str = "PNG", size: tuple[int, int] = (24, 24), colour: int = 0) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, (colour, 90, 200)).save(written, kind)
    return written.getvalue()


def bomb(side: int) -> bytes:
    """A PNG that says it is so large, and holds nothing."""
    size = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    header = b"IHDR" + size
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(size))
        + header
        + struct.pack(">I", zlib.crc32(header))
        + picture()[33:]
    )


def row(name: str, files: Files, make: Callable[[Path], object] | None = None, **keys: Any) -> Row:
    """Training on data of a source: `keys` are of the table data, `task` is the recipe's."""
    changes: dict[str, object] = {"data": None}
    changes |= {"task": keys.pop("task")} if "task" in keys else {}
    changes |= {f"data.{key}": value for key, value in {"shots": 0, **keys}.items()}
    return Row(name, CHECK, {"r.toml": recipe(changes), **files}, make)


def folder(
    name: str,
    changes: Mapping[str, str | bytes | None],
    make: Callable[[Path], object] | None = None,
    **more: Any,
) -> Row:
    """A folder of two classes with two images in each split, with these files changed."""
    files: Files = {
        f"pets/{split}/{label}/{n}.png": picture(colour=60 * n + len(label))
        for split in ("train", "test")
        for label in ("cat", "horse")
        for n in (1, 2)
    }
    for path, content in changes.items():
        if content is None:
            files = {known: held for known, held in files.items() if not known.startswith(path)}
        else:
            files[path] = content
    return row(name, files, make, **{"source": "folder", "path": "pets", **more})


def linked(place: Path) -> None:
    (place / "outside.png").write_bytes(picture())
    (place / "pets" / "train" / "cat" / "9.png").symlink_to(place / "outside.png")


def emptied(place: Path) -> None:
    (place / "pets" / "train" / "cat").mkdir()


CAT = "pets/train/cat/1.png"
FOLDERS = [
    row("no folder", {}, source="folder", path="nowhere"),
    row("a file for a folder", {"pets": "x"}, source="folder", path="pets"),
    row("an empty folder", {}, lambda f: (f / "pets").mkdir(), source="folder", path="pets"),
    row("a folder without images", {"pets/a/x.txt": "x"}, source="folder", path="pets"),
    folder("no held-out split", {"pets/test": None}),
    folder("no training split", {"pets/train": None}),
    folder("a class without images", {"pets/train/cat": None}, emptied),
    folder("one class only", {"pets/train/cat": None, "pets/test/cat": None}),
    folder("more shots than images", {}, shots=50),
    folder("a class of the held-out split alone", {"pets/test/cow/1.png": picture()}),
    folder("an empty image", {CAT: b""}),
    folder("text named .png", {CAT: "hello"}),
    folder("HTML named .png", {CAT: "<html><body>not found</body></html>"}),
    folder("SVG named .png", {CAT: '<svg xmlns="http://www.w3.org/2000/svg"/>'}),
    folder("a PDF named .png", {CAT: b"%PDF-1.7\n"}),
    folder("a PNG that is cut off", {CAT: picture(size=(300, 300))[:200]}),
    folder("a JPEG that is cut off", {CAT: picture("JPEG", (300, 300))[:400]}),
    folder("a GIF that is cut off", {CAT: picture("GIF", (300, 300))[:60]}),
    folder("a PNG of 100,000 x 100,000", {CAT: bomb(100_000)}),
    folder("a PNG of 11,000 x 11,000", {CAT: bomb(11_000)}),
    folder("a line of 1 x 4,000", {CAT: picture(size=(1, 4000))}),
    folder("labels that read the same", {"pets/train/Cat/1.png": picture(colour=1)}),
    folder("a label with a tag", {"pets/train/<answer>/1.png": picture(colour=9)}),
    folder("a label with ESC", {"pets/train/\x1b[2Jred/1.png": picture(colour=9)}),
    folder("a link out of the folder", {}, linked),
    folder("a split of another name", {}, splits=["train", "val"]),
]


def table(name: str, text: str | bytes, kind: str = "csv", **more: Any) -> Row:
    files: Files = {f"t.{kind}": text}
    files |= {f"{label}{n}.png": picture(colour=50 * n) for label in "ab" for n in range(4)}
    return row(name, files, **{"source": kind, "path": f"t.{kind}", **more})


WHOLE = "image,label,split\n" + "".join(
    f"{label}{n}.png,{label},{'train' if n < 2 else 'test'}\n" for label in "ab" for n in range(4)
)


def lines(*changed: object) -> str:
    """Good JSON lines, then these."""
    good = [
        {"image": f"{label}{n}.png", "label": label, "split": "train" if n < 2 else "test"}
        for label in "ab"
        for n in range(4)
    ]
    return "".join(
        (one if isinstance(one, str) else json.dumps(one)) + "\n" for one in (*good, *changed)
    )


def labelled(label: object) -> str:
    return lines({"image": "a3.png", "label": label, "split": "test"})


TABLES = [
    table("no table", "", path="none.csv"),
    table("an empty table", ""),
    table("a header alone", "image,label,split\n"),
    table("a table of another delimiter", WHOLE.replace(",", ";")),
    table("no column of images", WHOLE.replace("image", "file")),
    table("no column of labels", WHOLE.replace("label", "breed")),
    table("a column named in vain", WHOLE, columns={"label": "breed"}),
    table("a column twice", WHOLE.replace("label,", "label,label,", 1)),
    table("a row without label", WHOLE + "a3.png,,test\n"),
    table("a row without image", WHOLE + ",a,test\n"),
    table("a row without split", WHOLE + "a3.png,a,\n"),
    table("a row that is too short", WHOLE + "a3.png\n"),
    table("a row that is too long", WHOLE + "a3.png,a,test,x,y\n"),
    table("an image that is not there", WHOLE + "gone.png,a,test\n"),
    table("an absolute path", WHOLE + "/etc/passwd,a,test\n"),
    table("a path that leads out", WHOLE + "../../etc/passwd,a,test\n"),
    table("an address", WHOLE + "http://127.0.0.1:9/a.png,a,test\n"),
    table("a file address", WHOLE + "file:///etc/passwd,a,test\n"),
    table("an image named twice", WHOLE + "a0.png,b,train\n"),
    table("NUL in a table", WHOLE + "a3.png,a\0,test\n"),
    table("a table in Latin-1", WHOLE.encode() + b"a3.png,caf\xe9,test\n"),
    table("a table in UTF-16", WHOLE.encode("utf-16")),
    table("an unclosed quote", WHOLE + '"a3.png,a,test\n'),
    table("a cell of a megabyte", WHOLE + "a3.png," + "x" * 1_000_000 + ",test\n"),
    table("JSON lines with a broken one", lines('{"image": "a3.png"'), "jsonl"),
    table("JSON lines with a list", lines("[1, 2]"), "jsonl"),
    table("JSON lines with a number", lines("7"), "jsonl"),
    table("one JSON list", json.dumps([1]), "jsonl"),
    table("deep JSON", lines("[" * 100_000), "jsonl"),
    table("a label that is a list", labelled(["a"]), "jsonl"),
    table("a label that is an object", labelled({"a": 1}), "jsonl"),
    table(
        "a label that is NaN", lines('{"image": "a3.png", "label": NaN, "split": "test"}'), "jsonl"
    ),
    table(
        "a label that is 1e999",
        lines('{"image": "a3.png", "label": 1e999, "split": "test"}'),
        "jsonl",
    ),
    table("a label that is null", labelled(None), "jsonl"),
    table("a label that is empty", labelled("  "), "jsonl"),
    table(
        "a label with a lone surrogate",
        lines('{"image": "a3.png", "label": "\\ud800", "split": "test"}'),
        "jsonl",
    ),
    table("an image that is a number", lines({"image": 7, "label": "a", "split": "test"}), "jsonl"),
    table("no images in a list", lines({"image": [], "label": "a", "split": "test"}), "jsonl"),
    table("a label of the test split alone", labelled("c"), "jsonl"),
]
ROWS = [*FOLDERS, *TABLES]
