"""What one annotation of Label Studio says: choices, texts, numbers, and regions of an image.

The full export lists results, each with its control and type; JSON-MIN has a key for each control.
Both become the same `Said`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.data.sources.annotated import Thing, shown
from rftkit.data.sources.exports.shapes import (
    AROUND,
    ROTATED,
    Extent,
    around,
    clipped,
    in_percent,
    turned,
)
from rftkit.data.sources.fields import Size, list_of, numbers_of, size_of, text_of, value_of
from rftkit.errors import DataError

LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")  # of regions, by control
ANSWERS = ("choices", "text", "number", "rating", "datetime")  # of an image, or of a region
PLACED = ("x", "points")  # a value with one of these is about a region
UNLABELLED = "regions have no label or text; left out"


@dataclass
class Region:
    """One region: where it is, what it is labelled as, what is written in it."""

    box: Box
    labels: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass
class Said:
    """What an annotation says of an image. answers: by control; kinds: control -> type."""

    answers: dict[str, object] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    size: Size | None = None

    def objects(self, tally: Counter[str]) -> tuple[LabelledBox, ...]:
        """The labelled boxes, one for each label of a region."""
        tally[UNLABELLED] += sum(not (one.labels or one.texts) for one in self.regions.values())
        return tuple(
            LabelledBox(label, one.box) for one in self.regions.values() for label in one.labels
        )

    def phrases(self) -> tuple[LabelledBox, ...]:
        """The texts that are written in regions, with their boxes."""
        return tuple(
            LabelledBox(text, one.box) for one in self.regions.values() for text in one.texts
        )


class _At(NamedTuple):
    """Where a value stands, and what of the export is left out and why: reason -> how often."""

    place: str
    tally: Counter[str]


def of_results(results: list[object], location: str, tally: Counter[str]) -> Said:
    """What the results of a full export say. Results about the same region share its id."""
    said = Said()
    for position, entry in enumerate(results):
        place = f"{location}: result[{position}]"
        if not isinstance(entry, dict) or "from_name" not in entry:
            if isinstance(entry, dict) and entry.get("type") == "relation":
                tally["relations; left out"] += 1
                continue
            raise DataError(f"{place}: {shown(entry)} has no 'from_name'; export the task again")
        value = value_of(entry, "value", place)
        name = text_of(entry["from_name"], "from_name", place)
        # sizes and rotation stand beside the value
        _take(
            said,
            name,
            str(entry.get("id", position)),
            {**entry, **_thing(value, place)},
            _At(place, tally),
        )
    return said


def of_plain(name: str, value: object, said: Said, location: str, tally: Counter[str]) -> None:
    """What a key of JSON-MIN says: a text, a number, or values as the full export has them."""
    place = f"{location}: {name}"
    entries = value if isinstance(value, list) else [value]
    if all(isinstance(entry, dict) for entry in entries) and entries:
        for position, entry in enumerate(entries):
            _take(said, name, f"{name}[{position}]", _thing(entry, place), _At(place, tally))
    elif value is not None:
        said.answers[name] = value
        said.kinds[name] = "choices" if isinstance(value, str) else ""


def _take(said: Said, name: str, key: str, entry: Thing, at: _At) -> None:
    """Put one value where it belongs: to its region, or to the image."""
    labels = next((kind for kind in LABELS if kind in entry), None)
    answer = next((kind for kind in ANSWERS if kind in entry), None)
    if said.size is None and "original_width" in entry:
        sides = {edge: entry.get(f"original_{edge}") for edge in ("width", "height")}
        said.size = size_of(sides, f"{at.place}: original size")
    if any(mark in entry for mark in PLACED):
        region = _region(said, key, entry, at)
        if region is None:
            return
        if labels:
            region.labels += tuple(_texts(entry, labels, at.place))
        elif answer == "text":
            region.texts += tuple(_texts(entry, "text", at.place))
        elif answer:
            at.tally[f"answers about regions ({shown(answer)}); left out"] += 1
    elif answer:
        _answered(said, name, answer, entry, at)
    else:
        at.tally[f"results of type {shown(entry.get('type', sorted(entry)[:3]))}; left out"] += 1


def _region(said: Said, key: str, entry: Thing, at: _At) -> Region | None:
    """The region that an entry is about; None if it has no box."""
    if key not in said.regions:
        box = _box(entry, said.size, at.place, at.tally)
        if box is None:
            return None
        said.regions[key] = Region(box)
    return said.regions[key]


def _answered(said: Said, name: str, answer: str, entry: Thing, at: _At) -> None:
    """Add an answer about the image to those that its control already has."""
    value = entry[answer]
    found: list[object] = (
        [*_texts(entry, answer, at.place)]
        if isinstance(value, list)
        else [_scalar(value, at.place)]
    )
    before = said.answers.get(name)
    earlier = before if isinstance(before, list) else [] if before is None else [before]
    whole = [*earlier, *found]
    said.answers[name] = whole[0] if len(whole) == 1 else whole
    said.kinds[name] = answer


def _box(entry: Thing, size: Size | None, place: str, tally: Counter[str]) -> Box | None:
    """The upright box of a region; None for one without an inside, such as a key point."""
    if entry.get("image_rotation", 0) not in (0, None):
        raise DataError(
            f"{place}: the image was turned by {shown(entry['image_rotation'])}° for annotating; "
            "turn its file, and annotate that"
        )
    if "points" in entry:
        points = list_of(entry, "points", place)
        pairs = [numbers_of(point, 2, "point", place) for point in points]
        if len(pairs) < 3:
            raise DataError(f"{place}: a polygon of {len(pairs)} points; it needs three")
        tally[f"boxes {AROUND}"] += 1
        return in_percent(around([(x, y) for x, y in pairs]), size, place, tally)
    if "radiusX" in entry:
        keys = ("x", "y", "radiusX", "radiusY")
        x, y, across, down = numbers_of([entry.get(key) for key in keys], 4, "ellipse", place)
        extent, pivot = Extent(x - across, y - down, x + across, y + down), (x, y)
        tally[f"boxes {AROUND}"] += 1
    elif "width" in entry and "height" in entry:
        keys = ("x", "y", "width", "height")
        x, y, width, height = numbers_of([entry.get(key) for key in keys], 4, "rectangle", place)
        extent, pivot = Extent(x, y, x + width, y + height), (x, y)
    else:
        tally["regions without an inside, such as key points; left out"] += 1
        return None
    (degrees,) = numbers_of([entry.get("rotation", 0) or 0], 1, "rotation", place)
    if degrees % 360:
        tally[f"boxes {ROTATED}"] += 1
        extent = _turned(extent, degrees, pivot, size, place)
    return in_percent(extent, size, place, tally)


def _turned(
    extent: Extent, degrees: float, pivot: tuple[float, float], size: Size | None, place: str
) -> Extent:
    """Turned in pixels: a per cent of the width is another length than one of the height."""
    if size is None:
        raise DataError(f"{place}: rotated, and no original_width; export it again as JSON")
    across, down = size[0] / 100, size[1] / 100
    left, top, right, bottom = extent
    pixels = Extent(left * across, top * down, right * across, bottom * down)
    whole = clipped(turned(pixels, degrees, (pivot[0] * across, pivot[1] * down)), size)
    left, top, right, bottom = whole
    return Extent(left / across, top / down, right / across, bottom / down)


def _texts(entry: Thing, key: str, place: str) -> list[str]:
    value = entry[key]
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in listed):
        raise DataError(f"{place}: {key} {shown(value)} is not a list of texts; export it again")
    return [text_of(one, key, place) for one in listed if str(one).strip()]


def _scalar(value: object, place: str) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{place}: {shown(value)} is neither a text nor a number")
    return value


def _thing(value: object, place: str) -> Thing:
    if not isinstance(value, dict):
        raise DataError(f"{place}: {shown(value)} is not an object; export it again")
    return value


def controls(all_said: Iterator[Said]) -> Mapping[str, str]:
    """The controls of a project that ask about the whole image, with their types."""
    found: dict[str, str] = {}
    for said in all_said:
        found |= said.kinds
    return found
