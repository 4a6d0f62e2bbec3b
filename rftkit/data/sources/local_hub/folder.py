"""A local folder as `datasets` reads it, once it is known to stay inside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.data.images import SUFFIXES
from rftkit.data.sources.local_hub.arrow import check_arrow
from rftkit.data.sources.local_hub.card import (
    ADDRESS,
    CARD,
    YAML,
    check_card,
    check_infos,
    check_yaml_file,
)
from rftkit.data.sources.local_hub.unpacking import check_unpacked
from rftkit.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetBuilder

CHECKS = {
    CARD: check_card,
    YAML: check_yaml_file,
    "dataset_infos.json": check_infos,
}
KINDS = ("parquet", "arrow", "csv", "json", "imagefolder", "text")  # `datasets`' modules


def roots_of(folder: Path) -> tuple[str, ...]:
    """Where files of a local data set may really lie: in its folder.

    In the hub's cache, `datasets--a--b/snapshots/1f2e`, files are links into `blobs` beside it.
    """
    real = Path(os.path.realpath(folder))
    repository = real.parents[1] if len(real.parts) > 2 else real
    blobs = repository / "blobs"
    cached = real.parent.name == "snapshots" and repository.name.startswith("datasets--")
    if cached and os.path.realpath(blobs) == str(blobs):
        return str(real), str(blobs)
    return (str(real),)


def check_folder(folder: Path, shown: str) -> None:
    """Raises DataError if the folder's README, or a file like it, names a file outside of it.

    To be called before `datasets` looks for the files that they name, or is even loaded.
    """
    if not folder.is_dir():
        raise DataError(f"{shown}: a file, not a folder; set data.path to the folder it is in")
    roots = roots_of(folder)
    for name, check in CHECKS.items():
        path = folder / name
        if os.path.lexists(path):
            _stay(str(path), roots, shown)
        if path.is_file():
            check(path, f"{shown}/{name}")


def built(folder: Path, shown: str) -> DatasetBuilder:
    """What loads the tables of a folder that was checked; nothing is loaded yet.

    Raises DataError if a file that `datasets` found lies outside.
    """
    from datasets import load_dataset_builder

    with offline():
        # absolute: `datasets` takes a name like "json" for a loader of its own
        builder = load_dataset_builder(str(folder.absolute()))
    _check_files(builder, folder, roots_of(folder), shown)
    return builder


@contextmanager
def offline() -> Iterator[None]:
    """Within it `datasets` asks no server, whatever a data set names."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


def _check_files(builder: DatasetBuilder, folder: Path, roots: Sequence[str], shown: str) -> None:
    kind = builder.__module__.rpartition(".")[2]
    if kind not in KINDS:
        raise DataError(
            f"{shown}: files for {kind!r} are not read; make them parquet, or images in folders"
        )
    start = os.path.realpath(folder)
    for file in map(str, chain(*(builder.config.data_files or {}).values())):
        _stay(file, roots, shown)
        if Path(file).suffix.lower() not in SUFFIXES:
            _check_packing(file, kind, f"{shown}/{os.path.relpath(file, start)}")


def _check_packing(file: str, kind: str, shown: str) -> None:
    """Raises DataError for a file that unpacks to far more than it is, or may."""
    from datasets.utils.extract import Extractor

    if packing := Extractor.infer_extractor_format(file):  # by its first bytes, not by its name
        raise DataError(f"{shown}: packed ({packing}); unpack it into the folder")
    if kind == "parquet" or file.lower().endswith(".parquet"):  # metadata.parquet of images
        check_unpacked(file, shown)
    if kind == "arrow":
        check_arrow(file, shown)


def _stay(file: str, roots: Sequence[str], shown: str) -> None:
    """Raises DataError if a file lies outside the roots, or is an address."""
    real = Path(os.path.realpath(file))
    if ADDRESS.search(file) or not any(real.is_relative_to(root) for root in roots):
        raise DataError(
            f"{shown}: {file[:120]!r} lies outside this folder, or is a link that leaves it; copy "
            "the file into it"
        )
