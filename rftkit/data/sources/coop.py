"""CoOp's split files: which images of a data set are for training and which for testing."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from rftkit.core import Row
from rftkit.data.locate import locate
from rftkit.data.paths import DataPath, Note, image_in
from rftkit.data.read_cache import ReadCache
from rftkit.data.sources.folder import existing_folder
from rftkit.errors import DataError
from rftkit.messages import did_you_mean, in_short
from rftkit.recipe.sections import Data

MAX_BYTES = 256_000_000  # unpacked; one that lists all of ImageNet would have about 80 MB


def rows(data: Data, split: str, note: Note, cache: ReadCache) -> Iterator[Row]:
    """The images that the split file `data.path` lists for a split, below `data.images`.

    The file is `{split: [[path, label id, class name], …]}`, `.json` or `.json.gz`. Underscores in
    names become spaces, as in CoOp's prompts. `label_id` orders the classes for base and new.
    """
    path = locate(data.path, split, note)
    root = path.parent
    if data.images:
        root = existing_folder(locate(data.images, split, note), "data.images")
    listed = cache.once((data.source, path), lambda _: _load(path))
    if split not in listed:
        raise DataError(f"{path}: no split {split!r}; {did_you_mean(split, listed)}")
    if not isinstance(listed[split], list):
        line = (
            f"split {split!r} is {in_short(listed[split], 60)}, not a list of images; get it again"
        )
        raise DataError(f"{path}: {line}")
    for number, entry in enumerate(listed[split]):
        location = f"{path}:{split}[{number}]"
        match entry:
            case [str(name), int(label_id), str(label)]:
                image = image_in(root, name, location)
                label = label.replace("_", " ")
                yield Row(location, image, {"image": name, "label": label, "label_id": label_id})
            case _:
                raise DataError(
                    f"{location}: {str(entry)[:80]} is not [path, label id, class name]"
                )


def _load(path: DataPath) -> dict[str, list[object]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; set data.path to a CoOp split file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; not a CoOp split file")
        listed = json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a CoOp split file ({error}); get it again") from error
    if not isinstance(listed, dict):
        raise DataError(f"{path}: not a CoOp split file; it must map splits to lists")
    return listed
