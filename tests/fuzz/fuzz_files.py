"""Targets that read files of strangers: archives, adapters with their cards, tables of data."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from rftkit.data.archives.unpack import unpacked
from rftkit.data.read_cache import ReadCache
from rftkit.data.read_split import read_split
from rftkit.recipe.toml import parse_recipe
from rftkit.runs import adapter as adapters
from rftkit.runs.calibration import CALIBRATION, read_calibration

PARTS = b"\n=====\n"  # between the files of one input
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
BLOCK = 512
TABLE = b"ustar"  # at 257 in a tar's header
MOST_WEIGHTS = 1 << 20


def archive(data: bytes, folder: Path) -> None:
    """An archive; the first byte chooses its kind. Checksums of a tar's headers are put right."""
    kind = data[0] % 5 if data else 0
    suffix, content = SUFFIXES[kind % 4], data[1:]
    if suffix != ".zip":
        content = _with_checksums(content)
    if kind in (2, 3):
        content = gzip.compress(content, 1)
    path = folder / f"data{suffix}"
    path.write_bytes(content)
    before, os.environ["RFTKIT_CACHE"] = os.environ.get("RFTKIT_CACHE"), str(folder / "cache")
    try:
        place = Path(unpacked(path))
    finally:
        del os.environ["RFTKIT_CACHE"]
        if before is not None:
            os.environ["RFTKIT_CACHE"] = before
    held = [*place.rglob("*")]
    assert place.is_relative_to(folder / "cache")
    assert not any(one.is_symlink() or not (one.is_file() or one.is_dir()) for one in held)


def _with_checksums(content: bytes) -> bytes:
    made = bytearray(content)
    for start in range(0, len(made) - BLOCK + 1, BLOCK):
        if made[start + 257 : start + 262] == TABLE:
            made[start + 148 : start + 156] = b" " * 8
            total = sum(made[start : start + BLOCK])
            made[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(made)


def archive_seeds() -> list[bytes]:
    """Archives of files, folders and long names; some with a link, a way out, or many zeros."""
    kinds = ((tarfile.USTAR_FORMAT, 1), (tarfile.GNU_FORMAT, 1), (tarfile.PAX_FORMAT, 2))
    good = [b"\0" + _zip("cats/a.txt", "dogs/"), b"\0" + _zip("cats/\u00e9.txt", "zeros" * 20)]
    good += [bytes([kind]) + _tar(format_, link=False) for format_, kind in kinds]
    return [*good, b"\0" + _zip("a.txt", "../out.txt"), b"\1" + _tar(tarfile.GNU_FORMAT, link=True)]


def _zip(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            many = "0" * 100_000 if name.startswith("zeros") else "hello"
            packed.writestr(name, "" if name.endswith("/") else many, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _tar(format_: int, *, link: bool) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        for name, kind in (
            *(("cats", tarfile.DIRTYPE), ("cats/\u00e9.txt", tarfile.REGTYPE)),
            *([("link", tarfile.SYMTYPE)] if link else []),
            ("c" * 90 + "/" + "d" * 60, tarfile.REGTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../out" if kind == tarfile.SYMTYPE else ""
            info.size = 5 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"hello"))
    return out.getvalue()


def adapter(data: bytes, folder: Path) -> None:
    """An adapter's folder: configuration, header of the weights, card, temperatures.

    What is taken has one pair of matrices for each module that it names, of the rank it says.
    """
    from rftkit.models import adapters as checked

    config, header, card, calibration = (data.split(PARTS) + [b""] * 4)[:4]
    home = folder / "adapter"
    home.mkdir()
    (home / adapters.CONFIG).write_bytes(config)
    (home / adapters.WEIGHTS).write_bytes(_weights(header))
    (home / adapters.CARD).write_bytes(card)
    if calibration:
        (home / CALIBRATION).write_bytes(calibration)
    found = checked.check_adapter(home)
    assert found.modules
    assert type(found.config["r"]) is int
    ckpt = adapters.find(home)
    assert all(isinstance(label, str) for label in adapters.labels_of(ckpt))
    adapters.aliases_of(ckpt)
    read_calibration(home)
    names = {"model.layers.0.q_proj", "model.layers.0.v_proj", "lm_head", *found.modules}
    for key in ("target_modules", "exclude_modules"):
        with suppress(ValueError):  # which `_fitting` says with the file's name
            assert checked._matching(found.config, key, names) <= names


def _weights(header: bytes) -> bytes:
    """A safetensors file of that header, and of as many zeros as it says, within reason."""
    try:
        ends = [int(one["data_offsets"][1]) for one in json.loads(header).values()]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError,
            OverflowError):  # fmt: skip
        ends = []
    size = max([0, *(end for end in ends if 0 < end <= MOST_WEIGHTS)])
    return len(header).to_bytes(8, "little") + header + bytes(size)


def adapter_seeds() -> list[bytes]:
    """A folder as rftkit writes it, without and with temperatures, and with patterns."""
    config: dict[str, Any] = {
        "peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", "use_dora": False,
        "target_modules": ["q_proj"], "exclude_modules": None, "rank_pattern": {},
        "init_lora_weights": True, "base_model_name_or_path": "tiny", "task_type": "CAUSAL_LM",
    }  # fmt: skip
    head = "base_model.model.model.layers.0.q_proj"
    header = {
        f"{head}.lora_A.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        f"{head}.lora_B.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [24, 48]},
    }
    recipe = '[model]\nname = "tiny"\n[data]\nsource = "digits"\n'
    card = {"recipe": recipe, "labels": ["cat", "dog"], "aliases": {"kitty": "cat"}}
    calibration = {
        "schema": 1, "temperatures": {"base": 1.5, "tuned": 2.0}, "examples": 1, "origin": "split",
        "held_out": [{"confidence": 0.5, "right": True}],
    }  # fmt: skip
    patterned = {**config, "target_modules": r".*(q|v)_proj", "exclude_modules": "(a+)+b"}
    made = [[config, header, card], [config, header, card, calibration], [patterned, header, card]]
    return [PARTS.join(json.dumps(part).encode() for part in parts) for parts in made]


class Source(NamedTuple):
    """How a format of data is read: keys of the recipe, and the file that the input becomes."""

    name: str
    file: str
    task: str = "classification"
    more: str = ""


SOURCES = (
    Source("csv", "table.csv"),
    Source("csv", "table.csv", "choice"),
    Source("csv", "table.csv", "detection"),
    Source("jsonl", "table.jsonl", "number"),
    Source("jsonl", "table.jsonl", "grounding"),
    Source("jsonl", "table.jsonl", "fields", '\n[options.fields]\nshop = "text"\ntotal = "number"'),
    Source("coco", "table.json", "detection"),
    Source("voc", "Annotations/a.xml", "detection"),
    Source("yolo", "labels/train/a.txt", "detection"),
    Source("yolo", "data.yaml", "detection"),
    Source("label_studio", "table.json", "detection"),
    Source("label_studio", "table.json"),
    Source("cvat", "table.xml", "detection"),
    Source("cvat", "table.xml"),
    Source("coop", "table.json"),
    Source("refs", "table.jsonl", "grounding"),
    Source("lisa", "train/a.json", "grounding"),
    Source("llava", "table.json"),
)
FOLDERS = ("voc", "yolo", "lisa")
IMAGES = ("a.png", "b.png", "images/train/a.png", "JPEGImages/a.png", "train/a.png")
OTHERS = {
    "yolo": {"data.yaml": "train: images/train\nval: images/train\nnames: [cat, dog]\n",
             "labels/train/a.txt": "0 0.5 0.5 0.5 0.5\n"},
}  # fmt: skip


def table(data: bytes, folder: Path) -> None:
    """A file of labels or boxes; the first byte chooses its format and the task that reads it."""
    source = SOURCES[data[0] % len(SOURCES)] if data else SOURCES[0]
    for name in IMAGES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PIXELS)
    for name, text in {**OTHERS.get(source.name, {}), source.file: ""}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[1:] if name == source.file else text.encode())
    path = folder if source.name in FOLDERS else folder / source.file
    images = "" if source.name in (*FOLDERS, "csv", "jsonl") else f'images = "{folder}"'
    text = (
        f'task = "{source.task}"\n[model]\nname = "tiny"\n[data]\nsource = "{source.name}"\n'
        f'path = "{path}"\n{images}{source.more}\n'
    )
    recipe = parse_recipe(text, "recipe")
    part = read_split(recipe, "train", ReadCache())
    assert all(example.gold and example.id for example in part.examples)


def _pixels() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 10)).save(out, "PNG")
    return out.getvalue()


PIXELS = _pixels()
STUDIO: dict[str, Any] = {
    "id": 1, "data": {"image": "/data/upload/3/0a1b2c3d-a.png"}, "predictions": [],
    "annotations": [{"id": 1, "was_cancelled": False, "result": [
        {"id": "r", "type": "rectanglelabels", "from_name": "box", "to_name": "image",
         "original_width": 20, "original_height": 10, "image_rotation": 0, "value":
         {"x": 10, "y": 20, "width": 30.5, "height": 40, "rotation": 0,
          "rectanglelabels": ["cat"]}}]}],
}  # fmt: skip
CHOSEN: dict[str, Any] = {
    **STUDIO,
    "annotations": [{"id": 1, "was_cancelled": False, "result": [
        {"id": "r", "type": "choices", "from_name": "kind", "to_name": "image",
         "value": {"choices": ["red fox"]}}]}],
}  # fmt: skip
CVAT = """<annotations><version>1.1</version><meta><job><labels>
<label><name>cat</name><type>any</type></label></labels></job></meta>
<image id="0" name="a.png" subset="train" width="20" height="10">%s</image></annotations>"""
SEEDS: tuple[object, ...] = (
    "image,label,split\na.png,cat,train\nb.png,dog,test\n",
    'image,question,options,answer,split\na.png,Where?,"[""left"", ""right""]",left,train\n',
    'image,label,boxes,split\na.png,cat,"[[1, 2, 5, 6]]",train\n',
    '{"image": "a.png", "question": "How many?", "answer": 3, "split": "train"}\n',
    '{"image": "a.png", "phrase": "left cat", "box": [1, 2, 5, 6], "split": "train"}\n',
    '{"image": "a.png", "shop": "Old Mill", "total": "12.50", "split": "train"}\n',
    {"categories": [{"id": 7, "name": "cat"}],
     "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}],
     "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [5, 1, 10, 3.5],
                      "iscrowd": 0}]},
    "<annotation><filename>a.png</filename><size><width>20</width><height>10</height></size>"
    "<object><name>cat</name><bndbox><xmin>6</xmin><ymin>2</ymin><xmax>15</xmax><ymax>5</ymax>"
    "</bndbox></object></annotation>",
    "0 0.5 0.5 0.5 0.6\n1 0.1 0.2 0.9 0.2 0.5 0.8\n",
    "train: images/train\nval: images/train\nnc: 2\nnames:\n  0: cat\n  1: dog\n",
    [STUDIO], [CHOSEN],
    CVAT % '<box label="cat" xtl="1.00" ytl="2" xbr="8" ybr="6" rotation="3"></box>',
    CVAT % '<tag label="cat"><attribute name="shop">Old Mill</attribute></tag>',
    {"train": [["a.png", 0, "maine_coon"]], "test": [["b.png", 1, "birman"]]},
    '{"image": "a.png", "sentences": ["one", {"sent": "two"}], "box": [0, 0, 20, 5]}\n',
    {"text": ["who is asleep?"], "is_sentence": True, "shapes": [
        {"label": "target", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 8]]}]},
    [{"id": "1", "image": "a.png", "conversations": [
        {"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "cat"}]}],
)  # fmt: skip


def table_seeds() -> list[bytes]:
    """A small good file of each format."""
    texts = [seed if isinstance(seed, str) else json.dumps(seed) for seed in SEEDS]
    assert len(texts) == len(SOURCES)
    return [bytes([number]) + text.encode() for number, text in enumerate(texts)]
