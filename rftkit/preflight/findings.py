"""What a path holds that can be trained on: classes, boxes, tables, phrases, a hub data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rftkit.data.detect import Annotations, all_annotations, source_of
from rftkit.data.locate import locate
from rftkit.data.paths import DataPath
from rftkit.data.sources import hub
from rftkit.data.sources.exports import cvat
from rftkit.data.sources.folder import Listing, existing_folder, list_classes, subfolders
from rftkit.data.sources.tables import READERS, Record
from rftkit.errors import DataError
from rftkit.preflight.columns import fields_of, use_of
from rftkit.preflight.exports import folder_of_images, uses_of
from rftkit.recipe.sections import Data

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation", "dev", "eval")
VALIDATION_NAMES = ("val", "valid", "validation", "dev", "eval")
NO_CLASSES = re.compile(r"(train|val|test|images?|labels?|annotations?)\w*", re.IGNORECASE)
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
FILES = 20  # of a folder are looked at
ROWS = 50  # of a table
SUFFIXES = (".json", ".jsonl", ".csv", ".yaml", ".yml", ".zip")  # of no hub data set
SPLIT_LIKE = ("subset", "partition", "fold", "set", "phase", "usage")


class Finding(NamedTuple):
    """Data that a task can be trained on.

    words: what they are, for a person. validation: a split beside those two; "" without one.
    place: the path that `rftkit init` takes to find just this. options: of the task, as they are.
    """

    task: str
    data: Data
    words: str
    place: Path
    validation: str = ""
    options: Mapping[str, Any] = {}


def findings(given: Path) -> list[Finding]:
    """Everything at a path that can be trained on, the likeliest first.

    It may be, or be inside, an archive; a name with one slash that is no path is a data set of the
    hub. Raises DataError if there is nothing, with the reason where something nearly fits.
    """
    location = locate(str(given), "")
    if not location.exists():
        if not HUB_ID.fullmatch(str(given)) or given.suffix in SUFFIXES or given.parent.is_dir():
            there = [path.name for path in given.parent.glob("*")] if given.parent.is_dir() else []
            close = get_close_matches(given.name, there, 1)
            hint = f"did you mean {given.parent / close[0]}?" if close else "check the path"
            raise DataError(f"{given}: no such file or folder; {hint}")
        return [_hub(given, str(given))]
    if location.is_dir() and next(location.glob("*.parquet"), None):
        return [_hub(given, str(given))]
    ways = [_exports, _classes, _boxes, _others, _tables]
    found, refused = list[Finding](), list[DataError]()
    for way in ways:
        try:
            found += way(given, location)
        except DataError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return found


class _Splits(NamedTuple):
    """Names that mean training, and those that mean a test, the likeliest first."""

    train: list[str]
    tests: list[str]


def _splits(names: Sequence[str]) -> _Splits:
    train = [name for name in names if name.casefold() in TRAIN_NAMES]
    tests = [name for wanted in TEST_NAMES for name in names if name.casefold() == wanted]
    return _Splits(train, tests)


def _classes(given: Path, location: DataPath) -> Iterator[Finding]:
    """One folder for each class, in split folders or not."""
    if location.is_file():
        return
    root = existing_folder(location)
    names = subfolders(root)
    train, tests = _splits(names)
    if not train and not tests:
        if names and all(NO_CLASSES.fullmatch(name) for name in names):
            return
        listing = list_classes(root, root)
        _check(listing, root)
        words = f"{_named(listing)}; {_count(listing)} images, one in five of each class held out"
        yield Finding("classification", Data(source="folder", path=str(given)), words, given)
        return
    if not train or not tests:
        there, lacking = (train or tests)[0], "test" if train else "train"
        raise DataError(
            f"{root}/: {there!r} has no {lacking} folder beside it; add one, or point at the "
            "folder of classes"
        )
    ours, theirs = list_classes(root, root / train[0]), list_classes(root, root / tests[0])
    others = [name for name in tests[1:] if name.casefold() in VALIDATION_NAMES]
    words = f"{_named(ours)}; {_count(ours)} training + {_count(theirs)} test images"
    if others:
        words += f", {_count(list_classes(root, root / others[0]))} in {others[0]!r}"
    data = Data(source="folder", path=str(given), splits=(train[0], tests[0]))
    yield Finding("classification", data, words, given, others[0] if others else "")


def _check(listing: Listing, root: DataPath) -> None:
    """Raises DataError for classes that cannot be told apart, or not be divided."""
    if len(listing.images) < 2:
        only = next(iter(listing.images))
        raise DataError(
            f"{root}/: one class only: {only!r}; there is nothing to tell apart, add one"
        )
    lone = next((label for label, names in listing.images.items() if len(names) < 2), None)
    if lone is not None:
        raise DataError(
            f"{root}/: class {lone!r} has one image; it needs two, to train and to test"
        )


def _boxes(given: Path, location: DataPath) -> Iterator[Finding]:
    """COCO json, YOLO, Pascal VOC: all sets of a folder."""
    for found in all_annotations(location):
        data = Data(source=found.kind, path=found.path, images=found.images, splits=found.splits)
        what = {"coco": "COCO boxes", "yolo": "YOLO boxes", "voc": "Pascal VOC boxes"}[found.kind]
        yield Finding("detection", data, f"{what} in {found.path}", _file_of(found), _third(found))


def _file_of(found: Annotations) -> Path:
    return Path(found.path.replace("{split}", found.splits[0]))


def _third(found: Annotations) -> str:
    """A validation split beside the training and the test split, of COCO files."""
    names = (*VALIDATION_NAMES, "val2017")
    if "{split}" not in found.path or found.splits[1] in names:
        return ""
    return next((n for n in names if Path(found.path.replace("{split}", n)).is_file()), "")


def _exports(given: Path, location: DataPath) -> Iterator[Finding]:
    """What Label Studio or CVAT exported: a file, or one in a folder or an archive."""
    inside = [location / cvat.FILE, *islice(sorted(location.glob("*.json")), FILES)]
    for path in [location] if location.is_file() else inside:
        source = source_of(path)
        if source not in ("label_studio", "cvat"):
            continue
        place = given if path == location else given / path.name
        data = Data.model_validate({"source": source, "path": str(place)})
        if folder := folder_of_images(data, path):
            data = data.model_copy(update={"images": str(place.parent / folder)})
        yield from (
            Finding(use.task, data.model_copy(update={"splits": use.splits}), use.words, place,
                    options=use.options)
            for use in uses_of(data, path)
        )  # fmt: skip


def _others(given: Path, location: DataPath) -> Iterator[Finding]:
    """Phrases, ReasonSeg, and talks about images."""
    files = islice(sorted(location.glob("*.json*")), FILES) if location.is_dir() else []
    for path in [location, *files]:
        source = source_of(path)
        place = given if path == location else given / path.name
        data = Data(source="refs", path=str(place))
        if source in ("lisa", "refs"):
            data = data.model_copy(update={"source": source})
            yield Finding("grounding", data, f"phrases and their boxes in {place}", place)
        elif source == "llava":
            data = data.model_copy(update={"source": source})
            task = "number" if _counts(data) else "choice"
            yield Finding(task, data, f"questions and answers in {place}", place)


def _counts(data: Data) -> bool:
    """Whether all answers of some talks are numbers."""
    from rftkit.data.sources.llava import read_annotations

    talks = read_annotations(locate(data.path, ""))[:ROWS]
    return all(str(talk.values["answer"]).strip().isdigit() for talk in talks)


def _tables(given: Path, location: DataPath) -> Iterator[Finding]:
    """CSV and JSON lines: one file, or a folder of one for each split."""
    for kind in READERS:
        suffix = f".{kind}"
        files = [location] if location.suffix == suffix and location.is_file() else []
        if location.is_dir():
            files = sorted(location.glob(f"*{suffix}"))
        files = [path for path in files if source_of(path) in (kind, "")]
        stems = [path.stem for path in files]
        train, tests = _splits(stems)
        if train and tests:
            yield from _table(given, kind, files[stems.index(train[0])], (train[0], *tests))
        elif location.is_file() and files:
            yield from _table(given, kind, files[0])
        elif len(files) == 1:
            yield from _table(given / files[0].name, kind, files[0])
    if location.is_file() and location.suffix[1:] not in READERS:
        raise DataError(
            f"{given}: not a kind of data that is known; give a folder of images, COCO json, "
            "data.yaml, .csv, .jsonl, an archive of these, or the id of a hub data set"
        )


def _table(place: Path, kind: str, file: DataPath, splits: Sequence[str] = ()) -> Iterator[Finding]:
    records = [*READERS[kind](file)]
    if not records:
        raise DataError(f"{file}: no rows; add a line for each image")
    values = [record.values for record in records[:ROWS]]
    document = fields_of([*records[0].values], values)
    try:
        use = use_of(str(file), [*records[0].values], values)
    except DataError:
        if document is None:
            raise
        use = document
    if not splits:
        splits = _marked(records)
    chosen = (splits[0], splits[1]) if splits else ("train", "test")
    data = Data(source=kind, path=str(place), splits=chosen, columns=use.columns)  # type: ignore[arg-type]
    folder = _images(file, str(records[0].values[use.columns.get("image", "image")]))
    if folder:
        data = data.model_copy(update={"images": str(place.parent / folder)})
    more = next((name for name in splits[2:] if name in VALIDATION_NAMES), "")
    names = ", ".join(map(str, records[0].values))
    words = f"a table of {len(records)} rows ({names})"
    named = {name.casefold(): name for name in records[0].values}
    like = next((named[one] for one in SPLIT_LIKE if one in named), "")
    if not splits and like and _marked(records, like):
        words += f"; column {like!r} names splits and is not used: call it 'split'"
    for one in dict.fromkeys([use.task, *([document.task] if document else [])]):
        found = use if one == use.task else document
        assert found is not None
        own = data.model_copy(update={"columns": found.columns})
        yield Finding(found.task, own, words, place, more, found.options)


def _marked(records: Sequence[Record], column: str = "split") -> list[str]:
    """The splits that a column names, the training and the test one first."""
    train, tests = _splits([*dict.fromkeys(str(one.values.get(column, "")) for one in records)])
    return [train[0], *tests] if train and tests else []


def _images(table: DataPath, name: str) -> str:
    """The folder beside a table that holds its first image; "" where it is named from the table."""
    if (table.parent / name).is_file():
        return ""
    folders = (path for path in sorted(table.parent.iterdir()) if path.is_dir())
    return next((path.name for path in folders if (path / name).is_file()), "")


def _hub(given: Path, name: str) -> Finding:
    splits, features, first = hub.described(name)
    use = use_of(name, features, first)
    train, tests = _splits(splits)
    if train and tests:
        chosen = (train[0], tests[0])
    else:  # one split is divided, and the same part always held out
        only = (train or splits)[0]
        chosen = (f"{only}[:80%]", f"{only}[80%:]")
    columns = {role: column for role, column in use.columns.items() if column not in hub.LABELS}
    data = Data(source="hub", path=name, splits=chosen, columns=columns)
    more = next((one for one in tests[1:] if one in VALIDATION_NAMES), "")
    words = f"a hub data set with {', '.join(splits)} ({', '.join(features)})"
    return Finding(use.task, data, words, given, more)


def _named(listing: Listing) -> str:
    names = list(listing.images)
    return f"{len(names)} classes ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


def _count(listing: Listing) -> int:
    return sum(map(len, listing.images.values()))
