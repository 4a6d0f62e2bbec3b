"""YOLO's labels as Ultralytics has them: a text file for each image, a line for each object."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.core import Row
from rftkit.data.images import upright_size
from rftkit.data.paths import DataPath, image_in
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import of_split, shown
from rftkit.data.sources.fields import Size, box_in
from rftkit.data.sources.yolo_layout import Labels, layout_of
from rftkit.errors import DataError, Faults
from rftkit.recipe.sections import Data

MAX_BYTES = 10_000_000  # of one file of labels


class Line(NamedTuple):
    """An object of a file of labels: its class and its edges in fractions, nothing clipped."""

    location: str
    label: str
    edges: tuple[float, float, float, float]


def rows(data: Data, split: str, note: SourceNotes) -> Iterator[Row]:
    """One row for each image of the split, sorted by path; without a file of labels it is empty.

    Either a `data.yaml` (or the folder that holds it), or a folder with `images/<split>` and
    `labels/<split>`, or `<split>/images` and `<split>/labels`, and `classes.txt`; without splits
    it is divided. A polygon is read as the box around it. Values: "size" (from the image's
    header, as it is shown upright), "objects" and "categories", all the names.
    """
    layout = layout_of(data, split, note)
    categories = tuple(layout.labels.values())
    own = layout.images if layout.divided else of_split(layout.images, data, split, note)
    tally: Counter[str] = Counter()
    faults = Faults()
    for item in own:
        location = str(item.text if item.text.is_file() else layout.root / item.name)
        row = None
        with faults.caught():
            image = image_in(layout.root, item.name, location)
            size = upright_size(image)
            lines = read_annotations(item.text, layout.labels) if item.text.is_file() else []
            objects = tuple(LabelledBox(line.label, _box(line, size, tally)) for line in lines)
            values = {"size": f"{size[0]}x{size[1]}", "objects": objects, "categories": categories}
            row = Row(location, image, values)
        if row:
            yield row
    faults.raise_any()
    for what, count in tally.items():
        note(f"{layout.root}/: {count} boxes {what}")


def read_annotations(path: DataPath, labels: Labels) -> list[Line]:
    """The objects of one file of labels; no image is looked for.

    Raises DataError, with the line, for a class without a name and for what is no box.
    """
    if Path(path).stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; not one image's labels")
    try:
        text = Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; is it a file of labels?") from error
    found, faults = list[Line](), Faults()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            with faults.caught():
                found.append(_line(line.split(), labels, f"{path}:{number}"))
    faults.raise_any()
    return found


def _line(parts: list[str], labels: Labels, location: str) -> Line:
    numbers = [_number(part, location) for part in parts[1:]]
    if not parts[0].isdecimal() or int(parts[0][:9]) not in labels or len(parts[0]) > 9:
        raise DataError(f"{location}: class {shown(parts[0])} has no name; {_known(labels)}")
    label = labels[int(parts[0])]
    if len(numbers) == 4:
        x, y, width, height = numbers
        if width <= 0 or height <= 0:
            raise DataError(
                f"{location}: box {width:g} wide and {height:g} high; take the line out"
            )
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        xs, ys = numbers[0::2], numbers[1::2]
        edges = (min(xs), min(ys), max(xs), max(ys))
    else:
        raise DataError(
            f"{location}: {len(parts)} values; a box has 5 (class x y width height), a polygon its "
            "class and at least three pairs"
        )
    return Line(location, label, edges)


def _number(text: str, location: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{location}: {shown(text)} is not a number; fix it")
    return value


def _box(line: Line, size: Size, tally: Counter[str]) -> Box:
    sides = (*size, *size)
    x1, y1, x2, y2 = (edge * side for edge, side in zip(line.edges, sides, strict=True))
    return box_in((x1, y1, x2, y2), size, line.location, tally)


def _known(labels: Mapping[int, str]) -> str:
    return f"there are {len(labels)}, numbered from {min(labels)} to {max(labels)}"
