"""COCO's JSON of boxes, and LVIS's, which also says what is not on an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from rftkit.answers.boxes import LabelledBox
from rftkit.core import Row
from rftkit.data.paths import DataPath, Note, silent
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import (
    Annotated,
    Thing,
    located,
    read_json,
    read_shared,
    rows_of,
    shown,
)
from rftkit.data.sources.fields import (
    Size,
    box_in,
    corners_of_bbox,
    list_of,
    size_of,
    text_of,
    value_of,
    whole_of,
)
from rftkit.errors import DataError, Faults
from rftkit.recipe.sections import Data

UNREAD = ("segmentation", "keypoints")  # most of a file's size; dropped while it is read
FREQUENCIES = ("r", "c", "f")
# COCO's own training files have these two without height: (annotation id, image id)
EMPTY = ((918, 200365), (2206849, 550395))
EMPTY_NOTE = "are COCO's own without height; left out"

Labels = dict[int, str]


class ShownImage(NamedTuple):
    """An image of the file, and the objects found on it so far."""

    location: str
    entry: Thing
    size: Size
    objects: list[LabelledBox]


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each image, in the order of the file, those without objects too.

    Values: "size", "objects" and "categories", all those of the file. For LVIS "categories" are
    those that the image was searched for; "not_exhaustive" are those whose objects are not all
    boxed, and "frequency" gives r, c or f by label.
    """
    where = located(data, split, note)
    read = partial(read_annotations, where.annotations)
    images = read_shared(read, where, data, note, cache)
    yield from rows_of(images, where, data, split, note)


def read_annotations(path: DataPath, note: Note = silent) -> list[Annotated]:
    """What the file says of each image; no image is looked for.

    Raises DataError, with the place, for whatever is missing, doubled, of another type or outside
    its image.
    """
    whole = read_json(path, _without_unread)
    labels = _categories(whole, path)
    images = _images(whole, path)
    tally = _fill(images, whole, labels, path)
    for what, count in tally.items():
        note(f"{path}: {count} boxes {what}")
    if any("neg_category_ids" in image.entry for image in images.values()):
        frequency = _frequencies(whole, labels, path)
        return [_lvis(image, labels, frequency) for image in images.values()]
    return [_annotated(image, tuple(labels.values())) for image in images.values()]


def _without_unread(entry: Thing) -> Thing:
    for key in UNREAD:
        entry.pop(key, None)
    return entry


def _categories(whole: object, path: DataPath) -> Labels:
    labels: Labels = {}
    ids: dict[str, int] = {}
    for location, entry, number in _entries(whole, "categories", path):
        label = text_of(value_of(entry, "name", location), "name", location)
        if number in labels:
            raise DataError(f"{location}: id is that of {labels[number]!r} too; ids must differ")
        if ids.setdefault(label, number) != number:
            raise DataError(
                f"{location}: name {label!r} is that of id {ids[label]} too; rename one"
            )
        labels[number] = label
    if not labels:
        raise DataError(f"{path}: no categories; is this a file of boxes?")
    return labels


def _images(whole: object, path: DataPath) -> dict[int, ShownImage]:
    images: dict[int, ShownImage] = {}
    files: dict[str, str] = {}
    for location, entry, number in _entries(whole, "images", path):
        if number in images:
            raise DataError(
                f"{location}: id is that of {images[number].location} too; ids must differ"
            )
        name, *_ = _names(entry, location)
        if (before := files.setdefault(name, location)) != location:
            raise DataError(f"{location}: file {name!r} is that of {before} too; merge the two")
        images[number] = ShownImage(location, entry, size_of(entry, location), [])
    if not images:
        raise DataError(f"{path}: no images; add the images it annotates")
    return images


def _fill(
    images: dict[int, ShownImage], whole: object, labels: Labels, path: DataPath
) -> Counter[str]:
    """Puts every object on its image. Returns how many boxes were treated in which way."""
    tally: Counter[str] = Counter()
    seen: set[int] = set()
    faults = Faults()
    for location, entry, number in _entries(whole, "annotations", path):
        try:
            if number in seen:
                raise DataError(f"{location}: another annotation has this id; ids must differ")
            seen.add(number)
            image_id, label_id = (
                whole_of(entry, key, location) for key in ("image_id", "category_id")
            )
            if image_id not in images:
                raise DataError(
                    f"{location}: image_id {image_id} is not among the images; add the image"
                )
            if label_id not in labels:
                raise DataError(
                    f"{location}: category_id {label_id} is not among the categories; add it"
                )
            if (number, image_id) in EMPTY and _is_empty(entry):
                tally[EMPTY_NOTE] += 1
                continue
            image = images[image_id]
            corners = corners_of_bbox(value_of(entry, "bbox", location), location)
            box = box_in(corners, image.size, location, tally)
            image.objects.append(LabelledBox(labels[label_id], box, _is_crowd(entry, location)))
        except DataError as error:
            faults.add(error)
    faults.raise_any()
    return tally


def _entries(whole: object, key: str, path: DataPath) -> Iterator[tuple[str, Thing, int]]:
    """The entries of one of the file's lists: place, entry, id."""
    for position, entry in enumerate(list_of(whole, key, str(path))):
        location = f"{path}: {key}[{position}]"
        number = whole_of(entry, "id", location)
        assert isinstance(entry, dict)
        yield f"{location} (id {number})", entry, number


def _names(entry: Thing, location: str) -> list[str]:
    """The image's file, and where else to look: LVIS says in an address which folder it is in."""
    names = []
    if "file_name" in entry or not isinstance(entry.get("coco_url"), str):
        name = value_of(entry, "file_name", location)
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{location}: file_name {shown(name)} is not the path of an image")
        names.append(name)
    if isinstance(address := entry.get("coco_url"), str) and "neg_category_ids" in entry:
        parts = [part for part in urlsplit(address).path.split("/") if part]
        names += ["/".join(parts[-2:]), *parts[-1:]]
    if not names:
        raise DataError(f"{location}: no 'file_name'; every image needs the path of its image")
    return names


def _is_empty(entry: Thing) -> bool:
    return isinstance(box := entry.get("bbox"), list) and len(box) == 4 and box[3] == 0


def _is_crowd(entry: Thing, location: str) -> bool:
    value = entry.get("iscrowd", 0)
    if value not in (0, 1) or not isinstance(value, int):
        raise DataError(f"{location}: iscrowd {shown(value)} is neither 0 nor 1; fix it")
    return bool(value)


def _annotated(image: ShownImage, categories: tuple[str, ...], **more: object) -> Annotated:
    width, height = image.size
    name, *others = _names(image.entry, image.location)
    values = {
        "size": f"{width}x{height}",
        "objects": tuple(image.objects),
        "categories": categories,
        **more,
    }
    return Annotated(image.location, name, values, tuple(others))


def _lvis(image: ShownImage, labels: Labels, frequency: dict[str, str]) -> Annotated:
    absent = _listed(image, "neg_category_ids", labels)
    partly = _listed(image, "not_exhaustive_category_ids", labels)
    present = dict.fromkeys(thing.label for thing in image.objects)
    if both := [label for label in absent if label in present]:
        raise DataError(f"{image.location}: {both[0]!r} is boxed and said to be absent; fix one")
    categories = tuple(dict.fromkeys([*present, *absent]))
    return _annotated(image, categories, not_exhaustive=partly, frequency=frequency)


def _listed(image: ShownImage, key: str, labels: Labels) -> tuple[str, ...]:
    names = []
    for number in list_of(image.entry, key, image.location):
        if isinstance(number, bool) or not isinstance(number, int) or number not in labels:
            raise DataError(
                f"{image.location}: {key} holds {shown(number)}, no category of the file"
            )
        names.append(labels[number])
    return tuple(names)


def _frequencies(whole: object, labels: Labels, path: DataPath) -> dict[str, str]:
    frequencies = {}
    for location, entry, number in _entries(whole, "categories", path):
        value = value_of(entry, "frequency", location)
        if value not in FREQUENCIES:
            raise DataError(f"{location}: frequency {shown(value)} is none of r, c and f; fix it")
        frequencies[labels[number]] = str(value)
    return frequencies
