"""Data that are not there, not whole, or not what they say: each source, images, archives."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
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


CAT = "pets/train/cat/1.png"
FOLDERS = [
    row("no folder", {}, source="folder", path="nowhere"),
    row("a file for a folder", {"pets": "x"}, source="folder", path="pets"),
    row("an empty folder", {}, lambda f: (f / "pets").mkdir(), source="folder", path="pets"),
    row("a folder without images", {"pets/a/x.txt": "x"}, source="folder", path="pets"),
    folder("no held-out split", {"pets/test": None}),
    folder("no training split", {"pets/train": None}),
    folder("a class without images", {"pets/train/cat": None}),
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
    folder(
        "a PNG of 100,000 x 100,000", {CAT: picture()[:16] + b"\0\1\x86\xa0" * 2 + picture()[24:]}
    ),
    folder("a line of 1 x 4,000", {CAT: picture(size=(1, 4000))}),
    folder(
        "an image and its copy under two labels", {"pets/train/horse/1.png": picture(colour=63)}
    ),
    folder("labels that read the same", {"pets/train/Cat/1.png": picture(colour=1)}),
    folder("a label with a tag", {"pets/train/<answer>/1.png": picture(colour=9)}),
    folder("a label with ESC", {"pets/train/\x1b[2Jred/1.png": picture(colour=9)}),
    folder("a link out of the folder", {}, linked),
    folder("a split of another name", {}, splits=["train", "val"]),
    folder("a class half of two", {}, classes="base"),
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


def question(name: str, task: str, **fields: object) -> Row:
    """A question of another task, among good ones."""
    samples = {
        "choice": {"question": "which?", "options": ["x", "y"], "answer": "A"},
        "number": {"question": "how many?", "answer": 2},
        "grounding": {"phrase": "the cat", "box": [1, 2, 300, 400]},
        "detection": {"label": "cat", "boxes": [[1, 2, 300, 400]]},
    }
    good = samples[task]
    rows_ = [
        {"image": f"{label}{n}.png", "split": "train" if n < 2 else "test", **good}
        for label in "ab"
        for n in range(4)
    ]
    bad = {"image": "a3.png", "split": "test", **good, **fields}
    bad = {key: value for key, value in bad.items() if value != "-"}
    text = "".join(json.dumps(one) + "\n" for one in (*rows_, bad))
    return table(name, text, "jsonl", task=task)


TASKS = [
    question("choice: no options", "choice", options="-"),
    question("choice: one option", "choice", options=["x"]),
    question("choice: equal options", "choice", options=["X", "x"]),
    question("choice: an answer of none", "choice", answer="Z"),
    question("choice: an empty option", "choice", options=["x", ""]),
    question("choice: forty options", "choice", options=[str(n) for n in range(40)]),
    question("choice: options that are text", "choice", options="x or y"),
    question("number: no number", "number", answer="many"),
    question("number: NaN", "number", answer=float("nan")),
    question("number: no answer", "number", answer="-"),
    question("number: an answer of 400 digits", "number", answer="9" * 400),
    question("grounding: no phrase", "grounding", phrase="-"),
    question("grounding: an empty phrase", "grounding", phrase=" "),
    question("grounding: no box", "grounding", box="-"),
    question("grounding: three numbers", "grounding", box=[1, 2, 3]),
    question("grounding: text in a box", "grounding", box=["a", 2, 3, 4]),
    question("grounding: a box without area", "grounding", box=[5, 5, 5, 9]),
    question("grounding: a box turned round", "grounding", box=[300, 400, 1, 2]),
    question("grounding: a box outside", "grounding", box=[1, 2, 3000, 400]),
    question("grounding: an endless box", "grounding", box=[1, 2, float("inf"), 4]),
    question("detection: boxes that are text", "detection", boxes="[[1, 2"),
    question("detection: a box of five", "detection", boxes=[[1, 2, 3, 4, 5]]),
    question("detection: no label", "detection", label="-"),
    question("detection: a grid that is none", "detection", grid="large"),
    question("detection: a grid of nothing", "detection", grid="0x0"),
]


def coco(name: str, **changes: object) -> Row:
    whole: dict[str, Any] = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 24, "height": 24} for n in range(8)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [2, 2, 9, 9], "iscrowd": 0}
            for n in range(8)
        ],
    }
    for path, value in changes.items():
        part, _, key = path.partition("__")
        if not key:
            whole[part] = value
        elif value == "-":
            whole[part][0].pop(key)
        else:
            whole[part][0][key] = value
    files: Files = {f"{n}.png": picture(colour=20 * n) for n in range(8)}
    files["c.json"] = json.dumps({key: value for key, value in whole.items() if value != "-"})
    return row(name, files, source="coco", path="c.json", task="detection")


def coco_text(name: str, text: str | bytes) -> Row:
    return row(name, {"c.json": text}, source="coco", path="c.json", task="detection")


BOXES = [
    coco_text("COCO: no JSON", "{"),
    coco_text("COCO: a list", "[]"),
    coco_text("COCO: empty", ""),
    coco_text("COCO: deep", "[" * 100_000),
    coco("COCO: no images", images="-"),
    coco("COCO: images that are text", images="many"),
    coco("COCO: no categories", categories=[]),
    coco("COCO: an image without name", images__file_name="-"),
    coco("COCO: an image that is not there", images__file_name="gone.png"),
    coco("COCO: an image that leads out", images__file_name="../../etc/passwd"),
    coco("COCO: an id twice", images__id=1),
    coco("COCO: another shape", images__width=48),
    coco("COCO: a width of 0", images__width=0),
    coco("COCO: an object of no image", annotations__image_id=99),
    coco("COCO: an object of no category", annotations__category_id=99),
    coco("COCO: a box outside", annotations__bbox=[20, 20, 90, 90]),
    coco("COCO: a box of nothing", annotations__bbox=[2, 2, 0, 0]),
    coco("COCO: a box of text", annotations__bbox=["a", 2, 3, 4]),
    coco("COCO: no box", annotations__bbox="-"),
    coco("COCO: categories that read the same", categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "CAT"}]),
    coco("COCO: a category without name", categories=[{"id": 1}]),
    row("VOC: no folder", {}, source="voc", path="nowhere", task="detection"),
    row("VOC: an entity", {
        "v/train/1.xml": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>',
        "v/train/1.jpg": picture("JPEG"), "v/test/2.xml": "<annotation/>", "v/test/2.jpg": picture("JPEG"),
    }, source="voc", path="v", task="detection"),
    row("VOC: broken XML", {"v/train/1.xml": "<annotation>", "v/train/1.jpg": picture("JPEG")},
        source="voc", path="v", task="detection"),
    row("YOLO: no folder", {}, source="yolo", path="nowhere", task="detection"),
    row("YOLO: a Python tag", {"y/data.yaml": "!!python/object/apply:os.system ['touch x']"},
        source="yolo", path="y", task="detection"),
    row("YOLO: aliases that explode", {"y/data.yaml": "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9))},
        source="yolo", path="y", task="detection"),
    row("refs: no file", {}, source="refs", path="none.json", task="grounding"),
    row("llava: no conversation", {"l.json": '[{"image": "a.png"}]', "a.png": picture()},
        source="llava", path="l.json", task="number"),
    row("Label Studio: no export", {"l.json": '{"a": 1}'}, source="label_studio", path="l.json"),
    row("CVAT: a DOCTYPE", {"annotations.xml": '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'},
        source="cvat", path="annotations.xml"),
    row("CoOp: no file", {}, source="coop", path="none.json"),
    row("CoOp: another shape", {"split.json": '{"train": 3}'}, source="coop", path="split.json"),
]  # fmt: skip


def zipped(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(*members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archive(name: str, content: bytes, kind: str = "zip") -> Row:
    return row(name, {f"a.{kind}": content}, source="folder", path=f"a.{kind}")


ARCHIVES = [
    archive("zip: no zip", b"hello"),
    archive("zip: empty", b""),
    archive("zip: cut off", zipped({"train/cat/1.png": picture(size=(99, 99))})[:150]),
    archive("zip: leads out", zipped({"../evil.png": picture()})),
    archive("zip: an absolute name", zipped({"/tmp/evil.png": picture()})),
    archive("zip: a bomb", zipped({"train/cat/1.png": bytes(300_000_000)})),
    archive("tar: a link", tarred(member("train", tarfile.SYMTYPE, "/etc")), "tar"),
    archive("tar: a hard link", tarred(member("a", tarfile.LNKTYPE, "/etc/passwd")), "tar"),
    archive("tar: a device", tarred(member("a", tarfile.CHRTYPE)), "tar"),
    archive("tar: a pipe", tarred(member("a", tarfile.FIFOTYPE)), "tar"),
    archive("tar: leads out", tarred(member("../../evil.png")), "tar"),
]
HUB = [
    Row("hub: out of reach", CHECK, {"r.toml": recipe({"data.source": "hub", "data.path": "a/b"})}, code=4),
    row("hub: a folder without data", {"h/x.txt": "x"}, source="hub", path="h"),
    row("hub: a script", {"h/h.py": "open('ran', 'w')"}, source="hub", path="h"),
    row("hub: parquet that is none", {"h/train.parquet": "x", "h/test.parquet": "x"},
        source="hub", path="h"),
]  # fmt: skip
ROWS = [*FOLDERS, *TABLES, *TASKS, *BOXES, *ARCHIVES, *HUB]
