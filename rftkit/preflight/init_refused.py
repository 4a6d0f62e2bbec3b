"""Data for which `rftkit init` writes no recipe: what a recipe of the user's own says of them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from rftkit.data.detect import source_of
from rftkit.data.locate import locate
from rftkit.errors import DataError

FILES = 20  # of a folder are looked at
QUESTIONS = '"number" (or "choice", "classification")'
BY_ROWS = '"classification" (or what its rows are for)'
TASK_OF = {
    "lisa": '"grounding"',
    "refs": '"grounding"',
    "llava": QUESTIONS,
    "csv": BY_ROWS,
    "jsonl": BY_ROWS,
}


def refuse_others(argument: Path) -> None:
    """Raises DataError, with the keys to write, for phrases, conversations and tables.

    In a folder of classes or boxes a table may lie beside them.
    """
    located = locate(str(argument), "")
    for location in [located, *islice(sorted(located.glob("*.json*")), FILES)]:
        source = source_of(location)
        if not source or (location != located and source not in ("llava", "refs")):
            continue
        path = json.dumps(str(location), ensure_ascii=False)
        raise DataError(
            f"{argument}: init writes recipes for class folders and boxes; for this write one with "
            f'task = {TASK_OF[source]} and, under [data], source = "{source}", path = {path}; '
            "docs/data.md says what it holds"
        )
