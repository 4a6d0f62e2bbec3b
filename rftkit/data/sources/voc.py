"""Pascal VOC: an image's boxes in an XML file of its name.

Corners are read as VOC defines them: whole pixels counted from 1, both ends included, so that a
box from 1 to 1 is one pixel wide. Many tools count from 0 instead: a corner at 0 is taken for the
image's edge, and such boxes come out one pixel wider to the left and above.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.core import Row
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, by_stem, check_name, image_in
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import Annotated, located, of_split, shown
from rftkit.data.sources.fields import Size, box_in, size_of, text_of
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.recipe.sections import Data

MAX_BYTES = 4_000_000  # of one file; a hundred objects make 30 kB
FROM_ZERO = "have a corner at 0, as if counted from 0; VOC counts from 1: read a pixel too wide"


class Layout(NamedTuple):
    """A data set's files. own: the XML files of the split, or of all where `divided` is false."""

    own: list[DataPath]
    all: list[DataPath]
    divided: bool


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each XML file of the split, sorted by name, or as the split's list has them.

    Either VOC's folders `Annotations`, `JPEGImages` and `ImageSets/Main/<split>.txt`, or folders
    `<split>` with XML files beside the images; a data set without splits is divided. The image
    is the one of the XML file's name. Values: "size", "objects" (`difficult` ones as crowds, which
    VOC does not count either way) and "categories", all those of the data set.
    """
    where = located(data, split, note)
    layout = _layout(where.annotations, data, split, note)
    paths = sorted(layout.all)
    key = (data.source, *paths)
    read = cache.once(key, lambda note: _read_all(paths, where.annotations, note), note)
    categories = tuple(sorted({thing.label for path in read for thing in _objects(read[path])}))
    get_task = {item.name: path for path, item in read.items()}
    own = [read[path] for path in layout.own]
    stems: dict[DataPath, dict[str, list[str]]] = {}
    for item in own if layout.divided else of_split(own, data, split, note):
        xml = get_task[item.name]
        folder = where.images if data.images else _images_of(xml.parent)
        if folder not in stems:
            stems[folder] = by_stem(folder)
        name = _image_name(stems[folder].get(xml.stem, []), item, folder)
        base = where.images if folder.is_relative_to(where.images) else folder
        image = image_in(base, (folder / name).relative_to(base).as_posix(), item.location)
        yield Row(item.location, image, {**item.values, "categories": categories})


def _read_all(paths: Sequence[DataPath], root: DataPath, note: Note) -> dict[DataPath, Annotated]:
    tally: Counter[str] = Counter()
    read = {path: read_annotations(path, tally) for path in paths}
    for what, count in tally.items():
        note(f"{root}/: {count} boxes {what}")
    return read


def read_annotations(path: DataPath, tally: Counter[str] | None = None) -> Annotated:
    """What one XML file says: values "size", "objects" and "filename"; its name is the path.

    Raises DataError, with the line, for what is not VOC's XML. tally: counts clipped boxes.
    """
    tally = Counter() if tally is None else tally
    root = _parse(path)
    size = size_of(_numbers(root.find("size"), f"{path}: size"), f"{path}: size")
    objects = []
    for position, entry in enumerate(root.findall("object")):
        location = f"{path}:{entry.get('line')}: object[{position}]"
        label = text_of(entry.findtext("name"), "name", location)
        box = _box(entry, size, location, tally)
        objects.append(LabelledBox(label, box, _flag(entry, "difficult", location)))
    values = {"size": f"{size[0]}x{size[1]}", "objects": tuple(objects)}
    names = (name,) if (name := root.findtext("filename")) else ()
    return Annotated(str(path), str(path), values, names)


def _objects(item: Annotated) -> Iterable[LabelledBox]:
    objects = item.values["objects"]
    assert isinstance(objects, tuple)
    return objects


def _box(entry: ET.Element, size: Size, location: str, tally: Counter[str]) -> Box:
    bounds = entry.find("bndbox")
    if bounds is None:
        raise DataError(f"{location}: no bndbox; every object needs its box")
    x1, y1, x2, y2 = (_number(bounds, key, location) for key in ("xmin", "ymin", "xmax", "ymax"))
    if x2 < x1 or y2 < y1:
        raise DataError(
            f"{location}: box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) is inside out; fix it"
        )
    if 0 <= min(x1, y1) < 1:
        tally[FROM_ZERO] += 1
        x1, y1 = max(1.0, x1), max(1.0, y1)
    return box_in((x1 - 1, y1 - 1, x2, y2), size, location, tally)


def _parse(path: DataPath) -> ET.Element:
    """The root of an XML file; each element knows its line. Entities of its own are refused."""
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate("utf-8")

    def start(tag: str, _: dict[str, str]) -> None:
        builder.start(tag, {"line": str(parser.CurrentLineNumber)})

    def doctype(*_: object) -> None:
        raise DataError(
            f"{path}:{parser.CurrentLineNumber}: a DOCTYPE, which VOC has not; remove it"
        )

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, doctype
    if Path(path).stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; not one image's annotation")
    try:
        parser.Parse(Path(path).read_bytes(), True)
        root = builder.close()
    except (expat.ExpatError, ET.ParseError) as error:
        raise DataError(f"{path}: not XML in UTF-8 ({error}); fix it") from error
    if root.tag != "annotation":
        raise DataError(f"{path}: <{shown(root.tag)[1:-1]}>, not VOC's <annotation>; take it out")
    return root


def _layout(root: DataPath, data: Data, split: str, note: Note) -> Layout:
    if not root.is_dir():
        raise DataError(f"{root}: a file, not a folder; set data.path to the folder of VOC's XML")
    if SPLIT in data.path:
        others = (
            located(data, name, note).annotations for name in data.splits if name not in ("", split)
        )
        own = _xml_in(root)
        return Layout(own, [*own, *(path for other in others for path in _xml_in(other))], True)
    if (folder := root / "Annotations").is_dir():
        files = _xml_in(folder)
        lists = root / "ImageSets/Main"
        if lists.is_dir():
            return Layout(_listed(lists, split, folder), files, True)
        return Layout(files, files, False)
    if any((root / name).is_dir() for name in data.splits if name):
        there = sorted(p.name for p in root.iterdir() if p.is_dir())
        if split not in there:
            raise DataError(f"{root}/: no split {split!r}; {did_you_mean(split, there)}")
        folders = [root / name for name in dict.fromkeys([split, *data.splits]) if name in there]
        return Layout(_xml_in(folders[0]), [path for f in folders for path in _xml_in(f)], True)
    files = _xml_in(root)
    return Layout(files, files, False)


def _xml_in(folder: DataPath) -> list[DataPath]:
    """The XML files of a folder, or of the `Annotations` inside it."""
    inside = folder / "Annotations"
    files = sorted((inside if inside.is_dir() else folder).glob("*.xml"))
    if not files:
        raise DataError(f"{folder}/: no XML files; set data.path to the folder that holds them")
    return [path for path in files if not path.name.startswith(".")]


def _listed(lists: DataPath, split: str, folder: DataPath) -> list[DataPath]:
    """The XML files that a list names, one stem a line."""
    path = lists / f"{split}.txt"
    if not path.is_file():
        there = sorted(p.stem for p in lists.glob("*.txt"))
        raise DataError(f"{lists}/: no {path.name}; {did_you_mean(split, there)}")
    by_name: dict[str, DataPath] = {}
    for number, line in enumerate(
        Path(path).read_text("utf-8", errors="replace").splitlines(), start=1
    ):
        stem, location = line.strip(), f"{path}:{number}"
        if not stem:
            continue
        check_name(stem, location)
        if "/" in stem or not (folder / f"{stem}.xml").is_file():
            raise DataError(
                f"{location}: no {shown(stem)[1:-1]}.xml in {folder}/; take the line out"
            )
        if stem in by_name:
            raise DataError(f"{location}: {stem!r} is in the list twice; take one out")
        by_name[stem] = folder / f"{stem}.xml"
    return list(by_name.values())


def _images_of(folder: DataPath) -> DataPath:
    beside = folder.parent / "JPEGImages"
    return beside if folder.name == "Annotations" and beside.is_dir() else folder


def _image_name(names: list[str], item: Annotated, folder: DataPath) -> str:
    """The one image of the XML file's stem; of several, the one that its `filename` says."""
    if len(names) == 1:
        return names[0]
    if named := [name for name in names if name in item.others]:
        return named[0]
    stem = Path(item.name).stem
    if not names:
        raise DataError(
            f"{item.location}: no image {stem!r} in {folder}/; add it or set data.images"
        )
    raise DataError(f"{item.location}: {' and '.join(names)} in {folder}/; keep one of them")


def _numbers(element: ET.Element | None, location: str) -> dict[str, object]:
    if element is None:
        raise DataError(f"{location}: missing; every file needs width and height of its image")
    return {key: int(_number(element, key, location)) for key in ("width", "height")}


def _number(element: ET.Element, key: str, location: str) -> float:
    text = element.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise DataError(f"{location}: {key} {shown(text)} is not a number; fix it")
    return value


def _flag(entry: ET.Element, key: str, location: str) -> bool:
    text = (entry.findtext(key) or "0").strip()
    if text not in ("0", "1"):
        raise DataError(f"{location}: {key} {shown(text)} is neither 0 nor 1; fix it")
    return text == "1"
