"""Data for which `rftkit init` writes no recipe: what a recipe of the user's own says of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from rftkit.data.archive_names import as_given
from rftkit.data.locate import place_of
from rftkit.data.sources.annotated import opened
from rftkit.data.sources.refs import PHRASE_KEYS
from rftkit.errors import DataError

FILES = 20  # of a folder are looked at
PEEK_BYTES = 1_000_000  # of a file; its first object is in there, or the file is of another kind
FOLDERS = ("", "train", "val", "test")
QUESTIONS = '"number" (or "choice", "classification")'
BY_ROWS = '"classification" (or what its rows are for)'
TASK_OF = {
    "lisa": '"grounding"',
    "refs": '"grounding"',
    "llava": QUESTIONS,
    "csv": BY_ROWS,
    "jsonl": BY_ROWS,
}


def refuse_others(given: Path) -> None:
    """Raises DataError, with the keys to write, for phrases, conversations and tables.

    In a folder of classes or boxes a table may lie beside them.
    """
    found = place_of(str(given), "")
    for place in [found, *islice(sorted(found.glob("*.json*")), FILES)]:
        source = source_of(place)
        if not source or (place != found and source not in ("llava", "refs")):
            continue
        path = json.dumps(as_given(place), ensure_ascii=False)
        raise DataError(
            f"{given}: init writes recipes for class folders and boxes; for this write one with "
            f'task = {TASK_OF[source]} and, under [data], source = "{source}", path = {path}; '
            "docs/data.md says what it holds"
        )


def source_of(found: Path) -> str:
    """The source that reads a file, or the folder of ReasonSeg; "" for all that init knows."""
    if found.is_dir():
        files = (next((found / name).glob("*.json"), None) for name in FOLDERS)
        marked = any({"text", "shapes"} <= {*_first(path)} for path in files if path)
        return "lisa" if marked else ""
    if not found.is_file():
        return ""
    if found.suffix == ".csv":
        return "csv"
    entry = _first(found)
    if {"conversations", "messages"} & {*entry}:
        return "llava"
    # a line with `phrase` and `box` may be a table's, in thousandths
    boxed = {"bbox"} if found.suffix == ".jsonl" and "sentences" not in entry else {"box", "bbox"}
    if {*PHRASE_KEYS, "sentences"} & {*entry} and boxed & {*entry}:
        return "refs"
    return "jsonl" if found.suffix == ".jsonl" else ""


def _first(path: Path) -> Mapping[str, object]:
    """The first object of a file of JSON or JSON lines; empty where it has none, or a long one."""
    try:
        with opened(path) as file:
            text = file.read(PEEK_BYTES).decode("utf-8-sig", "ignore").lstrip()
        value, _ = json.JSONDecoder().raw_decode(text.removeprefix("[").lstrip())
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return {}  # whoever reads the file says what is wrong with it
    return value if isinstance(value, dict) else {}
