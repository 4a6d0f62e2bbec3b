"""ReasonSeg, LISA's data: beside each image a JSON file of polygons and what was asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rftkit.core import Row
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, by_stem
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import located, of_split, shown
from rftkit.data.sources.fields import Corners, list_of, numbers_of, text_of, value_of
from rftkit.data.sources.folder import subfolders
from rftkit.data.sources.refs import Phrase, phrase_rows
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.recipe.sections import Data

MAX_BYTES = 50_000_000  # of one file
TARGET = "target"
UNUSED = ("ignore", "flag")  # unsure regions, and marks that mean nothing any more


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each text of each image of the split, sorted by name.

    The folder is `data.path` with `{split}` in it, or `<split>` below it, or is divided. The box
    is the one around all target polygons; polygons of other names are left out, with a note.
    Values: "phrase", "size" (from the image's header), "objects" (the one) and "categories".
    """
    where = located(data, split, note)
    folder, divided = _folder(where.annotations, data, split)
    images = where.images if data.images else folder
    base = where.images if images.is_relative_to(where.images) else images

    def read(note: Note) -> list[Phrase]:
        return _read_folder(folder, images, base, note)

    phrases = cache.once((data.source, folder, images), read, note)
    own = phrases if divided else of_split(phrases, data, split, note)
    yield from phrase_rows(own, base, f"{folder}/", note)


def _read_folder(
    folder: DataPath, image_folder: DataPath, base: DataPath, note: Note
) -> list[Phrase]:
    """The texts of all JSON files of a folder, sorted by file; images are named from `base`."""
    names = by_stem(image_folder)
    phrases: list[Phrase] = []
    used: set[str] = set()
    tally: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        images = names.get(path.stem, [])
        if len(images) != 1:
            there = " and ".join(images) or f"no image {path.stem!r}"
            raise DataError(f"{path}: {there} in {image_folder}/; it needs exactly one")
        used.add(path.stem)
        name = (image_folder / images[0]).relative_to(base).as_posix()
        phrases += read_annotations(path, name, tally)
    if not phrases:
        raise DataError(f"{folder}/: no JSON files; set data.path to the folder that holds them")
    if left := len(set(names) - used):
        note(f"{image_folder}/: {left} images without a JSON file; left out")
    for label, count in tally.items():
        note(f"{folder}/: {count} polygons are {label!r}, not {TARGET!r}; left out")
    return phrases


def read_annotations(path: DataPath, name: str, tally: Counter[str] | None = None) -> list[Phrase]:
    """The texts of one JSON file, each with the corners around its targets; `name`: the image.

    Raises DataError, with the place, for whatever is missing or of another type.
    """
    values = _load(path)
    corners = _around(values, path, Counter() if tally is None else tally)
    texts = list_of(values, "text", str(path))
    if not texts:
        raise DataError(f"{path}: 'text' is empty; write what the polygons show")
    phrases = []
    for number, text in enumerate(texts):
        location = f"{path}: text[{number}]"
        phrases.append(Phrase(location, name, text_of(text, "text", location), corners))
    return phrases


def _around(values: object, path: DataPath, tally: Counter[str]) -> Corners:
    points: list[list[float]] = []
    for number, shape in enumerate(list_of(values, "shapes", str(path))):
        location = f"{path}: shapes[{number}]"
        label = value_of(shape, "label", location)
        if not isinstance(label, str):
            raise DataError(f"{location}: label {shown(label)} is not a text; write {TARGET!r}")
        if label.casefold() != TARGET:
            if label.casefold() not in UNUSED:
                tally[label[:40]] += 1
            continue
        own = list_of(shape, "points", location)
        if len(own) < 2:
            raise DataError(f"{location}: {len(own)} points; a polygon has at least three")
        points += [numbers_of(point, 2, f"points[{n}]", location) for n, point in enumerate(own)]
    if not points:
        raise DataError(f"{path}: no polygon is {TARGET!r}; draw one, or take the file out")
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _load(path: DataPath) -> object:
    if Path(path).stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; not one image's annotation")
    content = Path(path).read_bytes()
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")  # as some of ReasonSeg's own files are
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); fix it") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); fix it") from error


def _folder(root: DataPath, data: Data, split: str) -> tuple[DataPath, bool]:
    """The folder of the JSON files, and whether it holds this split alone."""
    if not root.is_dir():
        raise DataError(f"{root}: a file, not a folder; set data.path to the folder of images")
    there = subfolders(root)
    if SPLIT in data.path:
        return root, True
    if split in there:
        return root / split, True
    if any(name in there for name in data.splits):
        raise DataError(f"{root}/: no split {split!r}; {did_you_mean(split, there)}")
    return root, False
