"""What an annotation tool's export can be used for, by what its annotations say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rftkit.data.paths import DataPath
from rftkit.data.sources.annotated import Annotated
from rftkit.data.sources.exports import cvat, label_studio
from rftkit.data.sources.exports.image_names import find_image
from rftkit.errors import DataError
from rftkit.preflight.guessed_fields import guessed
from rftkit.recipe.sections import Data
from rftkit.tasks import classification, detection, fields, grounding, number

TOOLS = {"label_studio": "Label Studio", "cvat": "CVAT"}
OWN = ("objects", "categories", "size", "regions", "label", "answer", "image", "split", "id")


class ExportUse(NamedTuple):
    """One task that an export can be used for. options: of the task."""

    task: str
    words: str
    splits: tuple[str, str]
    options: Mapping[str, Any] = {}


def annotations_of(data: Data, path: DataPath) -> list[Annotated]:
    """What an export says of each image."""
    if data.source == "cvat":
        return cvat.read_annotations(path)
    return label_studio.read_annotations(path)


def uses_of(data: Data, path: DataPath) -> list[ExportUse]:
    """The tasks that an export has answers for, the likeliest first.

    Raises DataError for one that says nothing that could be learnt.
    """
    images = annotations_of(data, path)
    splits = _splits([item.split for item in images])
    where = f"in {path}, of {TOOLS[data.source]}"
    values = [item.values for item in images]
    found = list[ExportUse]()

    def use(task: str, words: str, options: Mapping[str, Any] | None = None) -> None:
        found.append(ExportUse(task, f"{words} {where}", splits, options or {}))

    if any(one.get("objects") for one in values):
        use(detection.TASK.name, f"boxes on {len(images)} images")
    if any(one.get("label") is not None for one in values):
        use(classification.TASK.name, f"labels of {len(images)} images")
    if any(one.get("regions") for one in values):
        use(grounding.TASK.name, "texts in boxes")
    if any(one.get("answer") is not None for one in values):
        use(number.TASK.name, f"numbers of {len(images)} images")
    options = guessed([{k: v for k, v in one.items() if k not in OWN} for one in values])
    if options and (not found or len(options["fields"]) > 1):
        use(fields.TASK.name, f"fields of {len(images)} documents", options)
    if not found:
        raise DataError(f"{path}: no labels, boxes, texts or numbers; annotate some first")
    return found


def folder_of_images(data: Data, path: DataPath) -> str:
    """The folder beside an export that holds its first image; "" where none need be named."""
    first = annotations_of(data, path)[0]
    folders = ["", *sorted(one.name for one in path.parent.iterdir() if one.is_dir())]
    for name in folders:
        try:
            find_image(path.parent / name if name else path.parent, first.name, first.location)
        except DataError:
            continue
        return name
    return ""


def _splits(names: Sequence[str]) -> tuple[str, str]:
    """The training and the test split that an export names; the usual two where it names none."""
    there = [name for name in dict.fromkeys(names) if name]
    train = next((name for name in there if name.casefold().startswith("train")), "")
    usual = ("test", "val", "valid", "validation")
    tests = [name for wanted in usual for name in there if name.casefold() == wanted]
    return (train, tests[0]) if train and tests else ("train", "test")
