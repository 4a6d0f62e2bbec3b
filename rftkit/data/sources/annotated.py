"""What every source of annotations does: find the file and the images, read it, divide it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import Repr
from typing import IO, NamedTuple, Protocol, TypeVar

from rftkit.core import Row
from rftkit.data import splits
from rftkit.data.images import FileImage
from rftkit.data.locate import SPLIT, locate
from rftkit.data.paths import DataPath, Note, image_in, silent
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.tables import NAME_IT, Record, check_letters, read_jsonl
from rftkit.errors import DataError, Faults
from rftkit.messages import did_you_mean
from rftkit.recipe.sections import Data

MAX_BYTES = 1_500_000_000  # unpacked; LVIS's training file, the largest in use, has 1.1 GB

SHORT = Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 60, 60

Thing = dict[str, object]
Hook = Callable[[Thing], Thing]


class Located(NamedTuple):
    """The annotations, a file or a folder, and the folder that their images are named from."""

    annotations: DataPath
    images: DataPath


class Divisible(Protocol):
    """An annotation that knows its image and, perhaps, the split it is for."""

    @property
    def location(self) -> str:
        """What an error calls it."""

    @property
    def name(self) -> str:
        """The image's path."""

    @property
    def split(self) -> str:
        """The name of its split; "" if it says nothing."""


class Annotated(NamedTuple):
    """What an annotation file says of one image: `values` are those of its row.

    others: paths to look for where there is no image of that name.
    """

    location: str
    name: str
    values: Mapping[str, object]
    others: tuple[str, ...] = ()
    split: str = ""


Part = TypeVar("Part", bound=Divisible)
Parsed = TypeVar("Parsed")


def located(data: Data, split: str, note: Note = silent) -> Located:
    """Where a recipe's annotations and images are, archives unpacked, `{split}` filled in.

    Without `data.images` the images are in the folder of the annotations. Raises DataError if
    one of the two is not there.
    """
    path = locate(data.path, split, note)
    if not path.exists():
        raise DataError(f"{path}: no such file; set data.path to the annotations")
    if not data.images:
        return Located(path, path if path.is_dir() else path.parent)
    images = locate(data.images, split, note)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; set data.images to the folder of the images")
    return Located(path, images)


def file_at(path: DataPath) -> DataPath:
    """The path of a file. Raises DataError for a folder, naming the files to choose from."""
    if path.is_dir():
        there = sorted(p.name for p in path.iterdir() if p.suffix in (".json", ".jsonl", ".gz"))
        files = ", ".join(there[:10]) or "none"
        raise DataError(f"{path}/: a folder; set data.path to the file (there are: {files})")
    if not path.is_file():  # a pipe would be waited for
        raise DataError(f"{path}: not a file; set data.path to the annotations")
    return path


def read_shared(
    read: Callable[[Note], Parsed], where: Located, data: Data, note: Note, cache: ReadCache
) -> Parsed:
    """What `read(note)` makes of the annotations; parsed once where both splits are in one file.

    With `{split}` in its path a file is of one split alone, and is not kept.
    """
    if SPLIT in data.path:
        return read(note)
    key = (data.source, where.annotations, *sorted(data.columns.items()))
    return cache.once(key, read, note)


def rows_of(
    images: Sequence[Annotated], where: Located, data: Data, split: str, note: SourceNotes
) -> Iterator[Row]:
    """The rows of a split. images: of this split if data.path holds `{split}`, else of all."""
    own = images if SPLIT in data.path else of_split(images, data, split, note)
    faults = Faults()
    for item in own:
        image = None
        with faults.caught():
            image = _image(where.images, item)
        if image is not None:
            yield Row(item.location, image, item.values)
    faults.raise_any()


def of_split(parts: Sequence[Part], data: Data, split: str, note: SourceNotes) -> list[Part]:
    """The annotations that are for a split, by what they say of it; else of a seeded split."""
    marked = {item.split for item in parts if item.split}
    if marked:
        if lacking := next((item.location for item in parts if not item.split), None):
            raise DataError(f"{lacking}: no split, and others have one; {NAME_IT}")
        if split not in marked:
            raise DataError(
                f"{data.path}: no split {split!r}; {did_you_mean(split, sorted(marked))}"
            )
        return [item for item in parts if item.split == split]
    test = splits.is_test(data, split, data.path)
    chosen = splits.held_out_images((item.name for item in parts), data.path)
    note.note_held_out(f"{data.path}: {splits.IMAGES_NOTE}")
    return [item for item in parts if (item.name in chosen) == test]


def read_json(path: DataPath, hook: Hook | None = None) -> object:
    """What a JSON file holds, `.json` or `.json.gz`. Raises DataError for anything else.

    hook: is given every object of the file as it is read, and returns what to keep of it.
    """
    try:
        with opened(file_at(path)) as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; divide it")
        values: object = json.loads(text, object_hook=hook)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); get it again") from error
    check_letters(text, values, str(path))
    return values


def opened(path: DataPath) -> IO[bytes]:
    """The file, open for reading; a `.gz` is gunzipped on the way."""
    return gzip.open(path) if path.suffix == ".gz" else Path(path).open("rb")  # type: ignore[return-value]


def read_records(path: DataPath) -> Iterator[Record]:
    """The objects of a JSON list, or of JSON lines; each with its place: `a.json[3]`, `a.jsonl:3`.

    Raises DataError for what is no list of objects, and for an empty one.
    """
    with opened(file_at(path)) as file:
        start = file.read(1000).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    count = 0
    is_list = path.suffix != ".jsonl" and start != b"{"
    for record in _listed(path) if is_list else read_jsonl(path):
        count += 1
        yield record
    if not count:
        raise DataError(f"{path}: no rows; add one for each image")


def _listed(path: DataPath) -> Iterator[Record]:
    values = read_json(path)
    if not isinstance(values, list):
        raise DataError(f"{path}: not a list of objects; write [{{…}}, {{…}}]")
    for number, value in enumerate(values):
        location = f"{path}[{number}]"
        if not isinstance(value, dict):
            raise DataError(f"{location}: {shown(value)} is not an object; write {{…}}")
        yield Record(location, value)


def shown(value: object) -> str:
    """A value as an error shows it: short, and in one line of plain letters."""
    return SHORT.repr(value).encode("ascii", "backslashreplace").decode("ascii")[:80]


def _image(root: DataPath, item: Annotated) -> FileImage:
    for name in item.others:
        if not (root / item.name).is_file() and (root / name).is_file():
            return image_in(root, name, item.location)
    return image_in(root, item.name, item.location)
