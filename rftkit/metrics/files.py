"""The files that an evaluation leaves, worked out from its samples alone, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rftkit.errors import DataError
from rftkit.metrics import Summary, summarise, to_json
from rftkit.metrics.samples import read_samples
from rftkit.runs.run import write_atomically

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
    from rftkit.report.confusion import confusion_csv

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
    found = folder.glob(f"*/{SUMMARY}")
    return [p.parent for p in sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True)]
