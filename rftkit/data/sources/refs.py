"""Phrases and the one thing that each means: RefCOCO's kind, as JSON lines or a JSON list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rftkit.answers.boxes import LabelledBox
from rftkit.core import Row
from rftkit.data.images import upright_size
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, image_in
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import located, of_split, read_records, read_shared, shown
from rftkit.data.sources.fields import (
    Corners,
    Size,
    box_in,
    corners_of_bbox,
    list_of,
    numbers_of,
    size_of,
    text_of,
)
from rftkit.data.sources.tables import Record
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.recipe.sections import Data

IMAGE_KEYS = ("image", "file_name")
PHRASE_KEYS = ("phrase", "expression", "sentence", "caption")
SPOKEN_KEYS = ("sent", "raw", "sentence")  # of an entry of `sentences` that is an object


class Phrase(NamedTuple):
    """A phrase about an image. corners: in pixels; size: None where the annotation has none."""

    location: str
    name: str
    phrase: str
    corners: Corners
    size: Size | None = None
    split: str = ""


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each phrase; its image is named from `data.images` or the file's folder.

    Values: "phrase", "size", "objects" (the one, labelled with the phrase) and "categories". Lines
    that have a `split` say themselves what they are for.
    """
    where = located(data, split, note)
    columns = {str(role): key for role, key in data.columns.items()}

    def read(_: Note) -> list[Phrase]:
        return read_annotations(where.annotations, columns)

    phrases = read_shared(read, where, data, note, cache)
    own = phrases if SPLIT in data.path else of_split(phrases, data, split, note)
    yield from phrase_rows(own, where.images, str(where.annotations), note)


def read_annotations(path: DataPath, columns: Mapping[str, str] | None = None) -> list[Phrase]:
    """What the file says; no image is looked for. columns: keys for `image`, `phrase`, `box`.

    Raises DataError, with the place, for whatever is missing, of another type or no box.
    """
    return [phrase for record in read_records(path) for phrase in _read(record, columns or {})]


def phrase_rows(
    phrases: Iterable[Phrase], root: DataPath, source: str, note: Note
) -> Iterator[Row]:
    """The rows of phrases. Where the annotation has no size, the image's header is read."""
    tally: Counter[str] = Counter()
    sizes: dict[str, Size] = {}
    for item in phrases:
        image = image_in(root, item.name, item.location)
        if item.size is None and item.name not in sizes:
            sizes[item.name] = upright_size(image)
        width, height = size = item.size or sizes[item.name]
        values = {
            "phrase": item.phrase,
            "size": f"{width}x{height}",
            "objects": (
                LabelledBox(item.phrase, box_in(item.corners, size, item.location, tally)),
            ),
            "categories": (item.phrase,),
        }
        yield Row(item.location, image, values)
    for what, count in tally.items():
        note(f"{source}: {count} boxes {what}")


def _read(record: Record, columns: Mapping[str, str]) -> Iterator[Phrase]:
    location, values = record
    name = str(_one_of(record, _keys(columns, "image", IMAGE_KEYS), str))
    size = size_of(values, location) if {"width", "height"} & set(values) else None
    corners = _corners(record, columns)
    split = values.get("split", "")
    if not isinstance(split, str):
        raise DataError(f"{location}: split {shown(split)} is not the name of one; fix it")
    for inside, phrase in _phrases(record, columns):
        yield Phrase(inside, name, phrase, corners, size, split.strip())


def _corners(record: Record, columns: Mapping[str, str]) -> Corners:
    location, values = record
    key = columns.get("box", "box")
    if (key in values) == ("bbox" in values and key != "bbox"):
        raise DataError(
            f"{location}: needs either 'bbox', [x, y, width, height], or {key!r}, "
            f"[x1, y1, x2, y2]; it has {', '.join(sorted(values)[:9])}"
        )
    if key not in values:
        return corners_of_bbox(values["bbox"], location)
    x1, y1, x2, y2 = numbers_of(values[key], 4, key, location)
    if not (x1 < x2 and y1 < y2):
        raise DataError(
            f"{location}: {key} {shown(values[key])} is not [x1, y1, x2, y2] with x1 < x2"
        )
    return x1, y1, x2, y2


def _phrases(record: Record, columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The phrases of a record, each with its place."""
    location, values = record
    if "sentences" not in values:
        yield (
            location,
            text_of(
                _one_of(record, _keys(columns, "phrase", PHRASE_KEYS), object), "phrase", location
            ),
        )
        return
    sentences = list_of(values, "sentences", location)
    if not sentences:
        raise DataError(f"{location}: 'sentences' is empty; add one, or take the line out")
    for number, sentence in enumerate(sentences):
        inside = f"{location}: sentences[{number}]"
        if isinstance(sentence, dict):
            sentence = _one_of(Record(inside, sentence), SPOKEN_KEYS, object)
        yield inside, text_of(sentence, "phrase", inside)


def _keys(columns: Mapping[str, str], role: str, usual: Sequence[str]) -> Sequence[str]:
    return (columns[role],) if role in columns else usual


def _one_of(record: Record, keys: Sequence[str], kind: type) -> object:
    """The value under the first of the keys that is there."""
    location, values = record
    key = next((key for key in keys if key in values), None)
    if key is None:
        raise DataError(f"{location}: no {keys[0]!r}; {did_you_mean(keys[0], list(values)[:20])}")
    if not isinstance(values[key], kind):
        raise DataError(f"{location}: {key} {shown(values[key])} is not a text; fix it")
    return values[key]
