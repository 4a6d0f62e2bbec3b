"""The base's replies of another evaluation, used again where all that decides them is equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rftkit.core import Completion, Example
from rftkit.errors import DataError
from rftkit.evaluation.generate import EvalSpec
from rftkit.files import write_atomically
from rftkit.metrics.samples import (
    Header,
    SamplesFile,
    header_line,
    read_samples,
    sample_line,
    timing_line,
)
from rftkit.metrics.scoring import sample_of
from rftkit.runs.run import runs_under

ASKED = ("image", "prompt", "gold", "choices", "half", "category", "meta")  # of a sample


def check_base_from(folder: Path | None) -> None:
    """Raises DataError for a folder, if one is named, that holds no run."""
    if folder is not None and not (folder.is_dir() and runs_under(folder)):
        raise DataError(f"--base-from {folder}: no run there; name one, or a folder of runs")


def reuse_base(spec: EvalSpec, examples: Sequence[Example], folder: Path) -> Path | None:
    """Begin an evaluation with the base's replies of another one; returns that one's samples file.

    folder: a run, or a folder of runs. None, and nothing is written, if this evaluation has begun,
    or if none there has answered all of these examples with the same model, prompts, decoding,
    batch size, versions and hardware.
    """
    if spec.file.exists() or "base" not in spec.sides:
        return None
    for run in runs_under(folder):
        for file in sorted(run.evaluations.glob("*/samples.jsonl")):
            try:
                file_read = read_samples(file)
            except DataError:  # a damaged file is no reason to stop here
                continue
            if _same_base(file_read, spec, examples):
                spec.file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(spec.file, _begun(file_read, spec.header))
                return file
    return None


def _same_base(other: SamplesFile, spec: EvalSpec, examples: Sequence[Example]) -> bool:
    if _deciding(other.header) != _deciding(spec.header):
        return False
    if any(t.batch_size != spec.batch_size for t in other.timings if t.side == "base"):
        return False
    theirs = {sample.id: sample for sample in other.samples if sample.side == "base"}
    ours = [sample_of(example, Completion(""), spec.header, "base") for example in examples]
    return theirs.keys() == {sample.id for sample in ours} and all(
        getattr(sample, name) == getattr(theirs[sample.id], name)
        for sample in ours
        for name in ASKED
    )


def _deciding(header: Header) -> Header:
    """The header without what the base's replies do not hang on: the seed too if none is drawn."""
    made = header.provenance
    drawn = header.decode == "generate" and not made.decoding.startswith("greedy")
    free = {"adapter_sha256": "", "started": "", "command": "", "seed": made.seed if drawn else 0}
    own: dict[str, object] = {
        "provenance": made.model_copy(update=free),
        "overlap": None,
        "overlap_skipped": None,
        "temperatures": {},
    }
    return header.model_copy(update=own)


def _begun(other: SamplesFile, header: Header) -> str:
    """The new file's text: its own header, and all that is the base's."""
    samples = [sample_line(sample) for sample in other.samples if sample.side == "base"]
    timings = [timing_line(timing) for timing in other.timings if timing.side == "base"]
    return "".join([header_line(header), *samples, *timings])
