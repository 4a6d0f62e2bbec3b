"""Which source reads what a path leads to, found out from names and first bytes."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from rftkit.data.locate import locate
from rftkit.data.paths import DataPath
from rftkit.data.sources.annotated import opened
from rftkit.data.sources.refs import PHRASE_KEYS

PEEK_BYTES = 1_000_000  # of a file; its first object is in there, or the file is of another kind
FOLDERS = ("", "train", "val", "test")

TESTED = ("test", "val", "valid", "validation", "val2017", "test2017")
TRAIN = re.compile(r"train(ing)?(2017)?")
FILE_NAME = re.compile(r'"file_name"\s*:\s*"([^"\\]+)"')
# of COCO's images, from the folder of the annotations
PLACES = (
    "",
    "{split}",
    "images",
    "images/{split}",
    "../{split}",
    "../images/{split}",
    "../images",
    "..",
)
ROBOFLOW = "_annotations.coco.json"
Kind = Literal["coco", "yolo", "voc"]


class Annotations(NamedTuple):
    """What a recipe says of where the annotations are. images: "" where they are beside them."""

    kind: Kind
    path: str
    splits: tuple[str, str]
    images: str = ""


def annotations_at(path: Path) -> Annotations | None:
    """What kind of annotations a path leads to, into an archive too; None if none that is known."""
    return next(all_annotations(locate(str(path), "")), None)


def all_annotations(location: DataPath) -> Iterator[Annotations]:
    """All sets of annotations that a file or folder holds, such as two COCO files of one kind."""
    if location.is_file() and location.suffix == ".json":
        if not source_of(location):
            yield _coco(location)
    elif location.is_file() and location.suffix in (".yaml", ".yml"):
        yield Annotations("yolo", str(location), ("train", _yolo_test(location)))
    elif (location / "data.yaml").is_file():
        yield from all_annotations(location / "data.yaml")
    elif (location / "labels").is_dir() and (location / "images").is_dir():
        yield Annotations("yolo", str(location), _two(location / "images"))
    elif (location / "Annotations").is_dir():
        lists = location / "ImageSets" / "Main"
        splits = _two(lists) if lists.is_dir() else ("train", "test")
        yield Annotations("voc", str(location), splits)
    elif location.is_dir():
        files = sorted([*location.glob("*.json"), *location.glob("annotations/*.json")])
        files = [path for path in files if not source_of(path)]
        named = [path for path in files if TRAIN.search(path.stem)]
        lone = [path for path in files if path.parent.shown.name == "annotations"]
        yield from map(_coco, named or (lone if len(lone) == 1 else []))
        splits = _two(location)
        if all((location / split / ROBOFLOW).is_file() for split in splits):
            yield Annotations("coco", str(location / "{split}" / ROBOFLOW), splits)


def _coco(path: DataPath) -> Annotations:
    """One file per split where a second one says so by its name; else one file, divided."""
    match = TRAIN.search(path.stem)
    if match is None:
        return Annotations("coco", str(path), ("train", "test"), _of_lone(path))
    for name in TESTED:
        other = path.with_name(f"{path.stem[: match.start()]}{name}{path.stem[match.end() :]}.json")
        if other.is_file():
            shared = path.with_name(
                f"{path.stem[: match.start()]}{{split}}{path.stem[match.end() :]}.json"
            )
            return Annotations(
                "coco", str(shared), (match.group(), name), _images(path, match.group())
            )
    return Annotations("coco", str(path), ("train", "test"), _of_lone(path))


def _of_lone(path: DataPath) -> str:
    """The folder of the images of a file that has no other beside it, and is divided."""
    splits = [split for split in ("train", "train2017", path.stem) if split in path.stem]
    found = (_images(path, split).replace("{split}", split) for split in (*splits, "train", "all"))
    return next((folder for folder in found if folder), "")


def _images(path: DataPath, split: str) -> str:
    """The folder of a file's images, by the first one that it names; "" where they are beside it.

    With `{split}` where the folder is called after the split, as COCO's own `train2017` is.
    """
    found = FILE_NAME.search(_head(path))
    for place in PLACES if found else ():
        folder = os.path.normpath(path.parent.real / place.replace("{split}", split))
        if found and (Path(folder) / found[1]).is_file():
            return os.path.normpath(Path(str(path.parent)) / place) if place else ""
    return ""


def _yolo_test(path: DataPath) -> str:
    text = Path(path).read_text("utf-8", errors="replace")
    return "test" if re.search(r"^test\s*:\s*\S", text, re.MULTILINE) else "val"


def _two(folder: DataPath) -> tuple[str, str]:
    names = {path.stem for path in folder.iterdir()}
    train = next((name for name in sorted(names) if TRAIN.fullmatch(name)), "train")
    return train, next((name for name in TESTED if name in names), "test")


def source_of(location: DataPath) -> str:
    """The source that reads a file, or the folder of ReasonSeg; "" for all that init knows."""
    if location.is_dir():
        files = (next((location / name).glob("*.json"), None) for name in FOLDERS)
        marked = any({"text", "shapes"} <= {*_first(path)} for path in files if path)
        return "lisa" if marked else ""
    if not location.is_file():
        return ""
    if location.suffix == ".csv":
        return "csv"
    if location.suffix == ".xml":
        return "cvat" if re.search(r"<annotations\b", _head(location)) else ""
    entry = _first(location)
    if _is_label_studio(entry):
        return "label_studio"
    if {"conversations", "messages"} & {*entry}:
        return "llava"
    # a line with `phrase` and `box` may be a table's, in thousandths
    boxed = (
        {"bbox"} if location.suffix == ".jsonl" and "sentences" not in entry else {"box", "bbox"}
    )
    if {*PHRASE_KEYS, "sentences"} & {*entry} and boxed & {*entry}:
        return "refs"
    return "jsonl" if location.suffix == ".jsonl" else ""


def _is_label_studio(entry: Mapping[str, object]) -> bool:
    """Whether an object is a task of a full export, or a line of JSON-MIN."""
    made = {"annotations", "completions"} & {*entry}
    return bool("data" in entry and made) or {"annotation_id", "lead_time"} <= {*entry}


def _first(path: DataPath) -> Mapping[str, object]:
    """The first object of a file of JSON or JSON lines; empty where it has none, or a long one."""
    try:
        value, _ = json.JSONDecoder().raw_decode(_head(path).removeprefix("[").lstrip())
    except (ValueError, RecursionError):
        return {}  # whoever reads the file says what is wrong with it
    return value if isinstance(value, dict) else {}


def _head(path: DataPath) -> str:
    """The beginning of a text file; "" for one that cannot be read."""
    try:
        with opened(path) as file:
            return file.read(PEEK_BYTES).decode("utf-8-sig", "ignore").lstrip()
    except (OSError, EOFError, zlib.error):
        return ""
