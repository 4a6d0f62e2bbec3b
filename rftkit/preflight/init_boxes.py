"""The recipe that `rftkit init` writes for annotated boxes: COCO json, YOLO or Pascal VOC."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from rftkit import data as sources
from rftkit.answers.boxes import Labelled
from rftkit.data.archive_names import as_given, as_given_in_errors
from rftkit.data.locate import place_of
from rftkit.errors import DataError
from rftkit.recipe.sections import Data

TESTED = ("test", "val", "valid", "validation", "val2017", "test2017")
TRAIN = re.compile(r"train(ing)?(2017)?")
MAX_SHOTS = 4
Kind = Literal["coco", "yolo", "voc"]


class Place(NamedTuple):
    """What a recipe says of where the annotations are."""

    kind: Kind
    path: str
    splits: tuple[str, str]


def annotated_place(given: Path) -> Place | None:
    """What kind of annotations a path leads to, into an archive too; None if none that is known."""
    with as_given_in_errors():
        place = _place(place_of(str(given), ""))
    return place and place._replace(path=as_given(place.path))


def _place(given: Path) -> Place | None:
    if given.is_file() and given.suffix == ".json":
        return _coco(given)
    if given.is_file() and given.suffix in (".yaml", ".yml"):
        return Place("yolo", str(given), ("train", _yolo_test(given)))
    if (given / "data.yaml").is_file():
        return _place(given / "data.yaml")
    if (given / "labels").is_dir() and (given / "images").is_dir():
        return Place("yolo", str(given), _two(given / "images"))
    if (given / "Annotations").is_dir():
        lists = given / "ImageSets" / "Main"
        return Place("voc", str(given), _two(lists) if lists.is_dir() else ("train", "test"))
    files = sorted(given.glob("*.json")) if given.is_dir() else []
    chosen = next((path for path in files if TRAIN.search(path.stem)), None)
    return _coco(chosen) if chosen else None


def boxes_recipe(place: Place) -> str:
    """A commented recipe (TOML) for these annotations. Raises DataError as their source does."""
    data = Data(source=place.kind, path=place.path, splits=place.splits)
    notes: list[str] = []
    counts, pictures = Counter[str](), 0
    for row in sources.rows(data, place.splits[0], notes.append):
        things = row.values["objects"]
        assert isinstance(things, tuple)
        counts.update(sorted({thing.label for thing in things if isinstance(thing, Labelled)}))
        pictures += 1
    if not counts:
        raise DataError(f"{place.path}: no boxes in split {place.splits[0]!r}; annotate some")
    least = min(counts, key=lambda label: (counts[label], label))
    shown = ", ".join(sorted(counts)[:8]) + (", …" if len(counts) > 8 else "")
    return TEMPLATE.format(
        pictures=pictures,
        categories=f"{len(counts)} categories: {shown}",
        fewest=f"fewest pictures have {least!r}: {counts[least]}",
        notes="".join(f"#   {note}\n" for note in dict.fromkeys(notes)),
        source=place.kind,
        path=json.dumps(place.path, ensure_ascii=False),
        splits=json.dumps(list(place.splits)),
        shots=min(MAX_SHOTS, counts[least]),
    )


def _coco(path: Path) -> Place:
    """One file per split where a second one says so by its name; else one file, divided."""
    found = TRAIN.search(path.stem)
    if found is None:
        return Place("coco", str(path), ("train", "test"))
    for name in TESTED:
        other = path.with_name(f"{path.stem[: found.start()]}{name}{path.stem[found.end() :]}.json")
        if other.is_file():
            shared = path.with_name(
                f"{path.stem[: found.start()]}{{split}}{path.stem[found.end() :]}.json"
            )
            return Place("coco", str(shared), (found.group(), name))
    return Place("coco", str(path), ("train", "test"))


def _yolo_test(path: Path) -> str:
    text = path.read_text("utf-8", errors="replace")
    return "test" if re.search(r"^test\s*:\s*\S", text, re.MULTILINE) else "val"


def _two(folder: Path) -> tuple[str, str]:
    names = {path.stem for path in folder.iterdir()}
    train = next((name for name in sorted(names) if TRAIN.fullmatch(name)), "train")
    return train, next((name for name in TESTED if name in names), "test")


TEMPLATE = """\
# Written by `rftkit init`. What the annotations hold:
#   {pictures} pictures to train on
#   {categories}
#   {fewest}
{notes}#
# rftkit check THIS_FILE                          every box, one prompt, what rounding costs
# rftkit train THIS_FILE                          needs a GPU, or much patience
# rftkit train THIS_FILE --set model.name=tiny-scenes    a smoke test on any machine
task = "detection"
style = "think"        # think | direct | answer-first | adaptive

[model]
name = "Qwen/Qwen2.5-VL-3B-Instruct"   # hub id or local folder

[data]
source = "{source}"
path = {path}
splits = {splits}
shots = {shots}              # training pictures per category; 0 uses all

[options]
ask = "category"       # one prompt per category, or "picture": one for all of them
threshold = 0.5        # least IoU that is paid

[method]
kind = "grpo"          # reinforcement; "sft" imitates the boxes
steps = 200
learning_rate = 1e-5
group_size = 8

[rewards]
iou = 1.0
confidence = 1.0
format = 1.0
"""
