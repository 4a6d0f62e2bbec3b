"""Answers of other tasks, annotation files, archives and hub folders that cannot be read."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

from bad_data import CHECK, Files, picture, row, table
from bad_rows import Row, recipe


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


ENTITY = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefghi", "bcdefghij", strict=True)
)
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
    coco("COCO: categories that read the same", categories=[
        {"id": 1, "name": "cat"}, {"id": 2, "name": "CAT"},
    ]),
    coco("COCO: a category without name", categories=[{"id": 1}]),
    row("VOC: no folder", {}, source="voc", path="nowhere", task="detection"),
    row("VOC: an entity", {
        "v/train/1.xml": f"{ENTITY}<annotation>&b;</annotation>",
        "v/train/1.jpg": picture("JPEG"),
    }, source="voc", path="v", task="detection"),
    row("VOC: broken XML", {"v/train/1.xml": "<annotation>", "v/train/1.jpg": picture("JPEG")},
        source="voc", path="v", task="detection"),
    row("YOLO: no folder", {}, source="yolo", path="nowhere", task="detection"),
    row("YOLO: a Python tag", {"y/data.yaml": "!!python/object/apply:os.system ['touch x']"},
        source="yolo", path="y", task="detection"),
    row("YOLO: a time that is none", {"y/data.yaml": "names: !!timestamp x"},
        source="yolo", path="y", task="detection"),
    row("YOLO: aliases that explode", {"y/data.yaml": LAUGHS},
        source="yolo", path="y", task="detection"),
    row("refs: no file", {}, source="refs", path="none.json", task="grounding"),
    row("llava: no conversation", {"l.json": '[{"image": "a.png"}]', "a.png": picture()},
        source="llava", path="l.json", task="number"),
    row("Label Studio: no export", {"l.json": '{"a": 1}'}, source="label_studio", path="l.json"),
    row("CVAT: a DOCTYPE", {"annotations.xml": f"{ENTITY}<annotations>&b;</annotations>"},
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


def bomb() -> bytes:
    """A table of some kilobytes that unpacks to 24 MB."""
    import pyarrow
    from pyarrow.parquet import write_table

    packed = io.BytesIO()
    columns = {"image": [picture()] * 400, "label": ["x" * 60_000] * 400}
    write_table(pyarrow.table(columns), packed, compression="zstd")
    return packed.getvalue()


def hub_folder(name: str, files: Files, path: str = "h") -> Row:
    tables: Files = {f"h/{split}.csv": "image,label\n1.png,cat\n" for split in ("train", "test")}
    return row(name, {**tables, **files}, source="hub", path=path)


def card(pattern: str) -> Files:
    text = f"---\nconfigs:\n- config_name: default\n  data_files: {pattern!r}\n---\n"
    return {"h/README.md": text}


AWAY = {"data.source": "hub", "data.path": "a/b"}
HUB = [
    Row("hub: out of reach", CHECK, {"r.toml": recipe(AWAY)}, code=4),
    row("hub: a folder without data", {"h/x.txt": "x"}, source="hub", path="h"),
    row("hub: a script", {"h/h.py": "open('ran', 'w')"}, source="hub", path="h"),
    row("hub: parquet that is none", {"h/train.parquet": "x", "h/test.parquet": "x"},
        source="hub", path="h"),
    row("hub: parquet that unpacks to far more",
        {"h/train.parquet": bomb(), "h/test.parquet": bomb()}, source="hub", path="h"),
    hub_folder("hub: a README that leads out", card("../r.toml")),
    hub_folder("hub: a README with an absolute path", card("/etc/*.csv")),
    hub_folder("hub: a README with an address", card("http://127.0.0.1:9/a.csv")),
    hub_folder("hub: a README with an address in a zip", card("zip://a.csv::http://127.0.0.1:9/a")),
    hub_folder("hub: a README with a Python tag",
               {"h/README.md": "---\na:\n- !!python/name:os.system\n---\n"}),
    hub_folder("hub: a README of broken YAML", {"h/README.md": "---\na: [\n---\n"}),
    hub_folder("hub: infos that are no JSON", {"h/dataset_infos.json": "{"}),
    hub_folder("hub: a packed table", {"h/train.csv": zipped({"a.csv": b"image,label\n"})}),
    hub_folder("hub: the name of a loader", {}, path="json"),
    hub_folder("hub: the name of another loader", {}, path="imagefolder"),
]  # fmt: skip
ROWS = [*TASKS, *BOXES, *ARCHIVES, *HUB]
