"""The format of `samples.jsonl`, and nothing else.

The first line is `{"schema": 1, "header": {...}}`. After it, in any order, one flat object per
side and example, and `{"timing": {...}}` per side and session. What the model wrote is a fact;
answer, correct, rewards, paper and flags are derived from it, and rescoring derives them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import AliasChoices, Field, ValidationError

from rftkit.core import Rules, Style
from rftkit.errors import DataError
from rftkit.files import open_own, plain
from rftkit.measures.values import Record
from rftkit.tasks import TASKS

SCHEMA = 1

Side = Literal["base", "tuned"]
Flag = Literal[
    "no answer", "unparseable", "off the list", "several answers", "truncated", "repetition"
]
MemoryOf = Literal["gpu", "process", ""]
SIDES: tuple[Side, ...] = get_args(Side)
FLAGS: tuple[Flag, ...] = get_args(Flag)


class Provenance(Record):
    """What made these samples. Empty text or None: not known, or does not apply."""

    model: str = ""
    revision: str = ""
    adapter_sha256: str = ""
    dtype: str = ""
    quantisation: str = ""
    max_pixels: int | None = None
    prompt: str = Field(default="", description="the prompt of one example")
    prompt_sha256: str = ""
    data: str = ""
    data_sha256: str = ""
    decoding: str = ""
    seed: int = 0
    versions: Mapping[str, str] = {}
    hardware: str = ""
    command: str = ""
    started: str = Field(default="", description="ISO 8601")


class Overlap(Record):
    """Train/test overlap: training images identical (exact) or nearly so (near) to a test image."""

    exact: int = 0
    near: int = 0
    pairs: tuple[tuple[str, str], ...] = Field(default=(), description="training, test name")


class OverlapSkipped(Record):
    """Why train/test overlap was not checked; the detail is for people."""

    reason: Literal["unreadable", "too many"]
    detail: str


class Header(Record):
    """What all samples of a file share."""

    task: str
    style: Style
    rules: Rules = "strict"
    decode: Literal["generate", "choices"] = Field(
        default="generate", description="the answer that counts: the free reply, or the likeliest"
    )
    list_scores: bool = Field(
        default=False, description="whether samples have scores beside what the model wrote"
    )
    labels: tuple[str, ...] = ()
    levels: Mapping[str, Mapping[str, str]] = Field(
        default={}, description="coarser classes: level -> label -> class of that level"
    )
    aliases: Mapping[str, str] = Field(default={}, description="other spelling -> label")
    temperatures: Mapping[Side, float] = Field(
        default={}, description="side -> temperature of its scores, fitted in training"
    )
    split: str = "test"
    expected: int = Field(ge=0, description="examples per side")
    prompt: str = Field(default="", description="prompt of every sample that has none of its own")
    provenance: Provenance = Provenance()
    overlap: Overlap | None = Field(
        default=None,
        validation_alias=AliasChoices("overlap", "leaks"),
        description="train/test overlap; None: not checked",
    )
    overlap_skipped: OverlapSkipped | None = Field(
        default=None,
        validation_alias=AliasChoices("overlap_skipped", "leaks_skipped"),
        description="why overlap is None; None in files of older versions",
    )


class Sample(Record):
    """What one side wrote for one example, and what is derived from it."""

    side: Side
    id: str
    image: str = Field(validation_alias=AliasChoices("image", "picture"))
    location: str = Field(default="", validation_alias=AliasChoices("location", "place"))
    prompt: str | None = Field(default=None, description="None: the header's")
    text: str
    gold: str
    choices: tuple[str, ...] | None = Field(
        default=None, description="labels offered; None: the header's labels; empty: open answer"
    )
    half: Literal["base", "new", ""] = ""
    category: str = Field(default="", description='kind of object or question; "": the gold label')
    meta: Mapping[str, str] = Field(default={}, description="what the task must know, e.g. grid")
    tokens: int = 0
    reasoning_tokens: int = 0
    answer_tokens: int = 0
    finished: bool = True
    seconds: float = 0.0
    scores: Mapping[str, float] | None = Field(
        default=None,
        description="answer of the list -> log-probability, after the reasoning that was written",
    )

    answer: str | None = Field(default=None, description="as the list spells it, or as written")
    correct: float = Field(default=0.0, description="the task's strict metric, in [0, 1]")
    rewards: Mapping[str, float] = {}
    paper: Mapping[str, float] = {}
    flags: tuple[Flag, ...] = ()
    free_correct: float | None = Field(default=None, description="of the reply; None: not known")
    list_answer: str | None = Field(default=None, description="the likeliest of the list")
    list_correct: float | None = None

    @property
    def invalid(self) -> bool:
        """No answer, or one that is not on the list: wrong, and counted as such."""
        return self.answer is None or bool({"off the list", "several answers"} & {*self.flags})


class Timing(Record):
    """One session of one side. Rates are over `samples` and `tokens` in `seconds`."""

    side: Side
    seconds: float = Field(description="spent on generating, warm-up excluded or not as said")
    samples: int = Field(description="answered in those seconds")
    tokens: int = Field(description="written in those seconds")
    first_token_seconds: float | None = Field(default=None, description="mean of a batch's first")
    token_seconds: float | None = Field(default=None, description="mean between a batch's tokens")
    scoring_seconds: float | None = Field(default=None, description="of lists; in no rate")
    batch_size: int = 1
    peak_memory_bytes: int | None = None
    peak_memory_of: MemoryOf = Field(
        default="", description="while this model answered; empty: since the program started"
    )
    warmup_excluded: bool = False
    hardware: str = ""


@dataclass(frozen=True)
class SamplesFile:
    """A file, read. `notes` says in words what was passed over."""

    header: Header
    samples: tuple[Sample, ...]
    timings: tuple[Timing, ...] = ()
    notes: tuple[str, ...] = ()

    def done(self, side: Side) -> set[str]:
        """Ids that this side has answered."""
        return {sample.id for sample in self.samples if sample.side == side}


class _HeaderLine(Record):
    header: Header
    version: Literal[1] = Field(alias="schema")


class _TimingLine(Record):
    timing: Timing


def header_line(header: Header) -> str:
    """The first line of a file, with its newline."""
    body = header.model_dump_json(exclude_defaults=True)
    return f'{{"schema": {SCHEMA}, "header": {body}}}\n'


def sample_line(sample: Sample) -> str:
    """One sample as a line, with its newline."""
    return sample.model_dump_json(exclude_defaults=True) + "\n"


def timing_line(timing: Timing) -> str:
    """One session's timing as a line, with its newline."""
    return f'{{"timing": {timing.model_dump_json(exclude_defaults=True)}}}\n'


def read_samples(path: Path) -> SamplesFile:
    """The file at `path`. A last line that was cut off is dropped, and `notes` says so.

    Raises DataError, with the line's number, for any other bad line, and for a pair of one side
    and id that comes twice.
    """
    lines, torn = _whole_lines(path)
    if not lines:
        raise DataError(f"{path}:1: no header; not a samples file, or nothing was written to it")
    samples: dict[tuple[Side, str], Sample] = {}
    timings: list[Timing] = []
    header = _header(lines[0], path)
    for number, line in enumerate(lines[1:], start=2):
        record = _record(line, f"{path}:{number}")
        if isinstance(record, Timing):
            timings.append(record)
        elif (key := (record.side, record.id)) in samples:
            raise DataError(f"{path}:{number}: {key[1]!r} ({key[0]}) is there twice; remove one")
        else:
            samples[key] = record
    notes = (f"{path.name}:{len(lines) + 1}: the last line was cut off and is ignored",)
    return SamplesFile(header, tuple(samples.values()), tuple(timings), notes if torn else ())


def repair(path: Path) -> None:
    """Make the file ready to append to: cut a torn last line off, end the last one.

    Nothing but the end of the file changes; lines before it are not read for faults.
    """
    lines, torn = _whole_lines(path)
    with open_own(path, "r+") as file:
        if torn:
            file.truncate(sum(len(line) + 1 for line in lines))
        elif lines and not path.read_bytes().endswith(b"\n"):
            file.seek(0, 2)
            file.write(b"\n")


def _whole_lines(path: Path) -> tuple[list[bytes], bool]:
    """The lines without their ends, and whether a cut-off one followed them."""
    try:
        *lines, rest = plain(path).read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a samples.jsonl") from None
    if not rest:
        return lines, False
    try:
        json.loads(rest)
    except (ValueError, RecursionError):  # a piece of a JSON object is never JSON
        return lines, True
    return [*lines, rest], False


def _header(line: bytes, path: Path) -> Header:
    try:
        header = _HeaderLine.model_validate_json(line).header
    except ValidationError as error:
        raise DataError(
            f"{path}:1: not a header of schema {SCHEMA}: {_first(error)}; "
            "was it written by another version of rftkit?"
        ) from None
    if header.task not in {task.name for task in TASKS}:
        raise DataError(
            f"{path}:1: task {header.task[:40]!r} is none that is known; "
            "was it written by another version of rftkit?"
        )
    return header


def _record(line: bytes, location: str) -> Sample | Timing:
    try:
        if line.startswith(b'{"timing"'):
            return _TimingLine.model_validate_json(line).timing
        return Sample.model_validate_json(line)
    except ValidationError as error:
        raise DataError(f"{location}: bad line: {_first(error)}; fix or remove it") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
