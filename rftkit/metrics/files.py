"""The files that an evaluation leaves, worked out from its samples alone, without a model."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from rftkit.errors import DataError, UserError
from rftkit.files import plain, sync, write_atomically
from rftkit.messages import first_line, inert
from rftkit.metrics import Summary, summarise, to_json
from rftkit.metrics.samples import read_samples
from rftkit.metrics.schema import sides_of

SAMPLES, SUMMARY, CONFUSION, REPORT = (
    "samples.jsonl",
    "summary.json",
    "confusion.csv",
    "report.html",
)


@dataclass(frozen=True)
class Evaluation:
    """Where an evaluation's files are, and what they say."""

    folder: Path
    summary: Summary


def finish(folder: Path) -> Summary:
    """Work out `summary.json` and `confusion.csv` from the samples in a folder."""
    sync(folder / SAMPLES)  # a summary is never all that a power cut leaves
    summary = summarise(read_samples(folder / SAMPLES))
    write_atomically(folder / SUMMARY, to_json(summary))
    write_atomically(folder / CONFUSION, confusion_csv(summary))
    return summary


def rescore(samples: Path) -> Evaluation:
    """Score a samples file anew, by today's rules; its summary is written beside it."""
    if not samples.is_file():
        raise DataError(f"--rescore {samples}: no such file; name an evaluation's samples.jsonl")
    summary = summarise(read_samples(samples))
    write_atomically(samples.with_name(SUMMARY), to_json(summary))
    return Evaluation(samples.parent, summary)


def evaluations(folder: Path) -> list[Path]:
    """The finished evaluations in a run's folder of them, newest first."""
    summaries = folder.glob(f"*/{SUMMARY}")
    return [p.parent for p in sorted(summaries, key=lambda p: p.stat().st_mtime_ns, reverse=True)]


def confusion_csv(summary: Summary) -> str:
    """`confusion.csv`: side, gold, answer (empty if invalid), count; zeros left out.

    A label that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["side", "gold", "answer", "count"])
    for name, side in sides_of(summary):
        for cell in side.confusion if side else ():
            writer.writerow([name, inert(cell.gold), inert(cell.answer or ""), cell.count])
    return out.getvalue()


def read_summary(folder: Path) -> Summary:
    """The summary of a finished evaluation."""
    path = folder / SUMMARY
    try:
        return Summary.model_validate_json(plain(path).read_text("utf-8"))
    except ValueError as error:
        first = first_line(error)
        raise UserError(f"{path}: cannot be read ({first}); `rftkit eval --rescore` it") from None
