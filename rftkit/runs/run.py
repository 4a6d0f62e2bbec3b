"""The run folder: it owns every file name, and never overwrites a run."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rftkit.errors import RecipeError, UserError
from rftkit.locks import LOCK, holder

State = Literal["running", "stopped", "failed", "trained", "finished"]
FORMAT = 1  # of run.json; a newer one is refused
BEGUN = {LOCK, "recipe.toml", "resolved.toml"}  # what is there before run.json makes it a run


@dataclass(frozen=True)
class Run:
    """One run on disk. Its files are properties, so that no other module spells a name."""

    folder: Path

    @property
    def given(self) -> Path:
        """The recipe as the user wrote it."""
        return self.folder / "recipe.toml"

    @property
    def resolved(self) -> Path:
        """The recipe with every default and override: what really ran."""
        return self.folder / "resolved.toml"

    @property
    def metrics(self) -> Path:
        """One JSON object per step."""
        return self.folder / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Some of what the model wrote while it trained."""
        return self.folder / "samples.jsonl"

    @property
    def checkpoints(self) -> Path:
        """`step-N` folders, each complete or absent."""
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The trained adapter, plain PEFT."""
        return self.folder / "adapter"

    @property
    def effective(self) -> Path:
        """The settings the trainer really had, beside what the recipe asked."""
        return self.folder / "effective.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @property
    def evaluations(self) -> Path:
        """One folder per evaluation."""
        return self.folder / "eval"

    @property
    def example(self) -> Path:
        """A held-out image, PNG: what `predict` can be tried with."""
        return self.folder / "example.png"

    @property
    def status_file(self) -> Path:
        """State, fingerprint and versions."""
        return self.folder / "run.json"

    def status(self) -> dict[str, Any]:
        """What `run.json` says. Raises UserError if it is damaged or of a newer rftkit."""
        try:
            status = json.loads(self.status_file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.status_file}: damaged ({error}); start a new run") from None
        if not isinstance(status, dict) or type(status.get("format")) is not int:
            raise UserError(f"{self.status_file}: damaged (no format); start a new run")
        if status["format"] > FORMAT:
            raise UserError(
                f"{self.folder}: written by a newer rftkit ({status.get('rftkit')}); upgrade rftkit"
            )
        if not isinstance(status.get("state"), str):
            raise UserError(f"{self.status_file}: damaged (no state); start a new run")
        return status

    def set_status(self, state: State, **more: object) -> None:
        """Write the state, and whatever else is to be remembered, in one atomic step."""
        known = self.status() if self.status_file.exists() else {"created": now()}
        known |= {"format": FORMAT, "state": state, "updated": now(), **more}
        write_atomically(self.status_file, json.dumps(known, indent=2) + "\n")


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write beside and move into place: a reader sees the old text or the new one, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """One JSON object as one line, flushed: a kill tears the last line at most."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; a torn last line is left out.

    Raises UserError, with the line's number, for any other line that is no JSON object.
    """
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    records = [_record(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line]
    with suppress(ValueError):  # a piece of a JSON object is never JSON
        records += [json.loads(last)] if last else []
    return records


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of later steps, and a torn one: a run goes on from `step`."""
    if path.exists():
        kept = [line for line in read_lines(path) if line["step"] <= step]
        write_atomically(path, "".join(_line(line) for line in kept))


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / "run.json").is_file()


def runs_under(folder: Path) -> list[Run]:
    """The runs in a folder, itself included, newest first."""
    if is_run(folder):
        return [Run(folder)]
    found = [p.parent for p in folder.glob("*/run.json")] + [
        p.parent for p in folder.glob("*/*/run.json")
    ]
    return [Run(f) for f in sorted(found, key=lambda f: (f / "run.json").stat().st_mtime_ns)][::-1]


def new_run(folder: Path) -> Run:
    """A run in `folder`, or in a numbered sibling if something is there already."""
    for number in range(1, 10_000):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if place.is_file():
            raise RecipeError(f"--out {place}: is a file; name a folder")
        if _free(place):
            return Run(_made(place))
        if number == 1 and not is_run(place):
            raise RecipeError(f"--out {place}: holds other files; name a new or empty folder")
    raise RecipeError(f"--out {folder}: 9999 siblings exist already; name another folder")


def unfinished_run(folder: Path) -> Run:
    """The newest run in `folder` or its numbered siblings, to be continued."""
    siblings = [folder, *folder.parent.glob(f"{glob.escape(folder.name)}-*")]
    runs = [Run(f) for f in siblings if is_run(f) and _numbered(f, folder)]
    if not runs:
        raise RecipeError(f"{folder}: no run here to resume; leave out --resume to start one")
    return max(runs, key=lambda run: run.status_file.stat().st_mtime_ns)


def state(run: Run) -> str:
    """The run's state; one that says it is running, but whose process is gone, has stopped."""
    said = str(run.status()["state"])
    return "stopped" if said == "running" and not holder(run.folder) else said


def _numbered(place: Path, folder: Path) -> bool:
    rest = place.name.removeprefix(folder.name)
    return rest == "" or rest.removeprefix("-").isdigit()


def _free(place: Path) -> bool:
    """Whether a run may begin here: nothing is there, or one that was cut off as it began."""
    names = {path.name for path in place.iterdir()} if place.is_dir() else set[str]()
    seen = {name for name in names if not name.startswith(".")}
    return not names or (LOCK in names and seen <= BEGUN)


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise UserError(f"{place}: not a JSON object; mend or remove the line")
    return record


def _line(record: Mapping[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise RecipeError(f"--out {folder}: cannot write there ({error.strerror})") from None
    return folder
