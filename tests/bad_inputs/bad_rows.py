"""What a row of bad input is, and how one is run: in this process, as the command line runs it."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import tomli_w

from rftkit.cli import main as cli

GOOD: dict[str, Any] = {
    "seed": 0,
    "model": {"name": "tiny"},
    "data": {"source": "digits", "shots": 4},
}
Make = Callable[[Path], object]


@dataclass(frozen=True)
class Row:
    """One bad input.

    name: what it is. words: of the command, which begins in an empty folder. files: what lies in
    the folder, by path. make: what else to put there. code: of the exit. loads: whether a model has
    to be loaded before the fault can show. stdin: what comes in. The line that it ends with stands
    in `lines.jsonl`.
    """

    name: str
    words: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    make: Make | None = None
    code: int = 1
    loads: bool = False
    stdin: bytes = b""


class Ended(NamedTuple):
    """How a command ended. seconds: of processor time. changed: paths that it made or altered."""

    code: int
    out: str
    err: str
    seconds: float
    changed: list[str]

    def line(self, folder: Path) -> str:
        """The line that it ended with, with the folder's path left out; Typer's is in a box.

        `rftkit check` counts several problems there and lists them before: the first comes along.
        """
        boxed = [part.strip("│ ") for part in self.err.splitlines() if part.startswith("│")]
        text = " ".join(boxed) if boxed else self.err.rstrip().rpartition("\n")[2]
        listed = [part for part in self.out.splitlines() if part.startswith("problem: ")]
        return " … ".join([*listed[:1], text]).replace(str(folder), "FOLDER")


def recipe(changes: Mapping[str, object]) -> str:
    """A good recipe with these keys, `table.key`, changed; a value of None leaves the key out."""
    whole: dict[str, Any] = {
        name: dict(value) if isinstance(value, dict) else value for name, value in GOOD.items()
    }
    for path, value in changes.items():
        *tables, key = path.split(".")
        place = whole
        for table in tables:
            place = place.setdefault(table, {})
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value
    return tomli_w.dumps(whole)


def run(row: Row, folder: Path) -> Ended:
    """Run a row's command in the folder, which is the current one."""
    before = prepared(row, folder)
    out, err, argv, stdin = io.StringIO(), io.StringIO(), sys.argv, sys.stdin
    sys.argv = ["rftkit", *row.words]
    sys.stdin = io.TextIOWrapper(io.BytesIO(row.stdin))
    began, code = time.process_time(), None
    try:
        with redirect_stdout(out), redirect_stderr(err), _loading(row.loads):
            cli.main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv, sys.stdin = argv, stdin
    seconds = time.process_time() - began
    assert isinstance(code, int)
    changed = changed_since(before, folder)
    return Ended(code, out.getvalue(), err.getvalue(), seconds, changed)


def _loading(wanted: bool) -> AbstractContextManager[object]:
    """Within it no model can be loaded unless it is wanted: what can be said before is."""
    fault = AssertionError("a model is loaded for what could be said before")
    return nullcontext() if wanted else mock.patch("rftkit.models.require_model", side_effect=fault)


def prepared(row: Row, folder: Path) -> dict[str, bytes]:
    """What lies in the folder once the row's files do."""
    for path, content in row.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
    if row.make:
        row.make(folder)
    return contents(folder)


def changed_since(before: Mapping[str, bytes], folder: Path) -> list[str]:
    """Paths that were made, altered or removed."""
    after = contents(folder)
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> what is in it, of everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if not path.is_symlink() and not path.is_fifo()
    }


LINES = Path(__file__).with_name("lines.jsonl")


def expected() -> dict[str, str]:
    """Row -> the line that it ends with."""
    lines = map(json.loads, LINES.read_text("utf-8").splitlines())
    return {line["row"]: line["line"] for line in lines}
