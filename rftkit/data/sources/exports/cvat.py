"""CVAT for images 1.1: the boxes, tags and attributes of each image, in one XML file.

Boxes count pixels from 0 at the image's edge. A rotated one is turned about its centre, clockwise.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from rftkit.answers.boxes import LabelledBox
from rftkit.core import Row
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, silent
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import (
    Annotated,
    Located,
    located,
    of_split,
    read_shared,
    shown,
)
from rftkit.data.sources.exports.image_names import find_image
from rftkit.data.sources.exports.shapes import AROUND, ROTATED, Extent, around, clipped, turned
from rftkit.data.sources.exports.xml_file import LINE, read_parts
from rftkit.data.sources.fields import LARGEST, Size, box_in, size_of, text_of
from rftkit.errors import DataError, Faults
from rftkit.recipe.sections import Data

FILE = "annotations.xml"  # in the zip that CVAT hands out
OWN = ("size", "objects", "categories", "label", "image")  # keys of a row that no attribute takes
NO_BOX = ("polyline", "points", "cuboid", "skeleton")


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each image, in the order of the file.

    Values: "size", "objects" and "categories", all those of the file; "label", that of the image's
    one tag; the tag's attributes by their names; and the one attribute of a box by the name of the
    box's label. The subsets of a project are its splits. In a folder `annotations.xml` is read.
    """
    where = located(data, split, note)
    if where.annotations.is_dir():
        where = Located(where.annotations / FILE, where.images)
    read = partial(read_annotations, where.annotations)
    images = read_shared(read, where, data, note, cache)
    faults = Faults()
    for item in images if SPLIT in data.path else of_split(images, data, split, note):
        image = None
        with faults.caught():
            image = find_image(where.images, item.name, item.location)
        if image is not None:
            yield Row(item.location, image, item.values)
    faults.raise_any()


def read_annotations(path: DataPath, note: Note = silent) -> list[Annotated]:
    """What the file says of each image; no image is looked for.

    Raises DataError, with the line, for what is not CVAT's XML for images, such as tracks of a
    video. In a file of tags alone images without one are left out, and counted in a note.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; set data.path to CVAT's XML, or its zip")
    reader = _Reader(path)
    read_parts(path, "annotations", reader.part)
    found = reader.faultless()
    for what, count in (+reader.tally).items():
        note(f"{path}: {count} {what}")
    return found


class _Reader:
    """Collects the images of a file, and what was noticed in it."""

    def __init__(self, path: DataPath) -> None:
        self.path, self.faults, self.tally = path, Faults(), Counter[str]()
        self.images, self.labels = list[Annotated](), dict[str, None]()
        self.names = dict[str, str]()

    def part(self, element: ET.Element) -> None:
        """Read one child of the file's root."""
        if element.tag == "track":
            raise DataError(
                f"{self.path}:{element.get(LINE)}: a track of a video; export the task as "
                "'CVAT for images 1.1'"
            )
        if element.tag == "meta":
            for label in element.iterfind(".//labels/label"):
                if label.findtext("type") not in ("tag", *NO_BOX):
                    self.labels |= dict.fromkeys([" ".join((label.findtext("name") or "").split())])
        if element.tag == "image":
            with self.faults.caught():
                self.images.append(self._image(element))

    def faultless(self) -> list[Annotated]:
        """The images, with all categories. Raises DataError for what was wrong."""
        self.faults.raise_any()
        if not self.images:
            raise DataError(f"{self.path}: no images; export the task as 'CVAT for images 1.1'")
        boxed = {box.label for item in self.images for box in _objects(item.values)}
        tagged = [item for item in self.images if "label" in item.values]
        if not boxed and tagged:
            if left := len(self.images) - len(tagged):
                self.tally["images have no tag; left out"] += left
            return self._divided(tagged)
        categories = tuple(name for name in dict.fromkeys([*self.labels, *sorted(boxed)]) if name)
        with_all = [
            item._replace(values={**item.values, "categories": categories}) for item in self.images
        ]
        return self._divided(with_all)

    def _divided(self, images: list[Annotated]) -> list[Annotated]:
        """One subset alone, such as "default", divides nothing."""
        one = len({item.split for item in images}) == 1
        return [item._replace(split="") for item in images] if one else images

    def _image(self, element: ET.Element) -> Annotated:
        name = " ".join((element.get("name") or "").split())
        location = f"{self.path}:{element.get(LINE)}: image {shown(name)}"
        if not name:
            raise DataError(f"{location}: no name; every image needs the path of its file")
        subset = element.get("subset", "")
        if (before := self.names.setdefault(f"{subset}/{name}", location)) != location:
            raise DataError(f"{location}: stands there twice, first at {before}; take one out")
        whole = {key: int(_number(element, key, location)) for key in ("width", "height")}
        size = size_of(whole, location)
        values: dict[str, object] = {}
        objects = [box for shape in element if (box := self._box(shape, size, location, values))]
        values |= {"size": f"{size[0]}x{size[1]}", "objects": tuple(objects)}
        if tags := element.findall("tag"):
            labels = [text_of(tag.get("label"), "label", location) for tag in tags]
            values["label"] = labels[0] if len(labels) == 1 else labels
        path = f"{subset}/{name}" if subset else name
        return Annotated(location, path, values, split=subset)

    def _box(
        self, shape: ET.Element, size: Size, image: str, values: dict[str, object]
    ) -> LabelledBox | None:
        """The box of a shape; None for a tag, and for what has no inside."""
        location = f"{image}: {shape.tag} at line {shape.get(LINE)}"
        attributes = _attributes(shape)
        if shape.tag == "tag":
            values |= {key: text for key, text in attributes.items() if key not in OWN}
            return None
        if shape.tag not in EXTENTS:
            self.tally[f"shapes of kind {shown(shape.tag)} have no box; left out"] += 1
            return None
        label = text_of(shape.get("label"), "label", location)
        extent = EXTENTS[shape.tag](shape, location)
        if shape.tag != "box":
            self.tally[f"boxes {AROUND}"] += 1
        if degrees := _number(shape, "rotation", location, "0") % 360:
            self.tally[f"boxes {ROTATED}"] += 1
            middle = ((extent.left + extent.right) / 2, (extent.top + extent.bottom) / 2)
            extent = clipped(turned(extent, degrees, middle), size)
        if len(attributes) == 1 and label not in OWN:
            _add(values, label, *attributes.values())
        clips = Counter[str]()
        box = box_in(extent, size, location, clips)
        self.tally.update({f"boxes {what}": count for what, count in clips.items()})
        return LabelledBox(label, box)


def _objects(values: Mapping[str, object]) -> tuple[LabelledBox, ...]:
    objects = values["objects"]
    assert isinstance(objects, tuple)
    return objects


def _add(values: dict[str, object], name: str, text: str) -> None:
    """Keep a text by its name; several of one name become a list."""
    before = values.get(name)
    texts = before if isinstance(before, list) else [] if before is None else [before]
    values[name] = [*texts, text] if texts else text


def _attributes(element: ET.Element) -> dict[str, str]:
    return {
        " ".join((one.get("name") or "").split()): " ".join((one.text or "").split())
        for one in element.findall("attribute")
    }


def _number(element: ET.Element, key: str, location: str, default: str | None = None) -> float:
    text = element.get(key, default)
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < LARGEST:
        raise DataError(f"{location}: {key} {shown(text)} is not a number; fix it")
    return value


def _edges(shape: ET.Element, location: str) -> Extent:
    left, top, right, bottom = (
        _number(shape, key, location) for key in ("xtl", "ytl", "xbr", "ybr")
    )
    if right <= left or bottom <= top:
        raise DataError(
            f"{location}: from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) has no area, or is "
            "inside out; fix it"
        )
    return Extent(left, top, right, bottom)


def _polygon(shape: ET.Element, location: str) -> Extent:
    text = shape.get("points") or ""
    try:
        pairs = [pair.split(",") for pair in text.split(";")]
        points = [(float(x), float(y)) for x, y in pairs]
    except ValueError:
        points = []
    if len(points) < 3 or not all(abs(edge) < LARGEST for point in points for edge in point):
        raise DataError(f"{location}: points {shown(text)} are not three pairs of numbers; fix it")
    return around(points)


def _ellipse(shape: ET.Element, location: str) -> Extent:
    x, y, across, down = (_number(shape, key, location) for key in ("cx", "cy", "rx", "ry"))
    return Extent(x - across, y - down, x + across, y + down)


def _mask(shape: ET.Element, location: str) -> Extent:
    left, top, width, height = (
        _number(shape, key, location) for key in ("left", "top", "width", "height")
    )
    return Extent(left, top, left + width, top + height)


EXTENTS: Mapping[str, Callable[[ET.Element, str], Extent]] = {
    "box": _edges,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
