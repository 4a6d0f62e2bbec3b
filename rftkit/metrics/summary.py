"""From a samples file to its summary, and from the summary to bytes that never vary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean

from rftkit.measures.rates import rate
from rftkit.metrics import behaviour, classes
from rftkit.metrics.headline import with_headline
from rftkit.metrics.lists.calibration import calibration
from rftkit.metrics.lists.decodings import decodings
from rftkit.metrics.samples import SIDES, Header, Sample, SamplesFile, Side
from rftkit.metrics.schema import SideSummary, Summary, display_model
from rftkit.metrics.scoring import offered, rescored
from rftkit.metrics.task_metrics import groups, task_metrics
from rftkit.metrics.verdict import difference
from rftkit.tasks import get_task

DIGITS = 6  # of a float in summary.json


def summarise(file: SamplesFile) -> Summary:
    """The results of one side, or of both and their difference.

    Derived fields in the file are not trusted but computed anew, so that evaluating and rescoring
    give the same summary. Reads no clock and no environment.
    """
    file = rescored(file)
    header = file.header
    by_side = {side: [s for s in file.samples if s.side == side] for side in SIDES}
    first = by_side["base"] or by_side["tuned"]
    sizes = [len(offered(sample, header)) for sample in first]
    closed = get_task(header.task).picks_offered and bool(sizes) and min(sizes) > 0
    found = Summary(
        task=header.task,
        metric=get_task(header.task).metric,
        style=header.style,
        rules=header.rules,
        decode=header.decode,
        split=header.split,
        expected=header.expected,
        complete=bool(first) and all(len(s) in (0, header.expected) for s in by_side.values()),
        labels=len(header.labels),
        list_size=fmean(sizes) if closed else None,
        chance=fmean(1 / size for size in sizes) if closed else None,
        base=_side("base", by_side["base"], file),
        tuned=_side("tuned", by_side["tuned"], file),
        difference=difference(by_side["base"], by_side["tuned"]),
        overlap=header.overlap,
        overlap_skipped=header.overlap_skipped,
        provenance=header.provenance,
        notes=_notes(by_side, header),
    )
    return with_headline(found)


def to_json(summary: Summary) -> str:
    """The text of `summary.json`: sorted keys, floats to 6 decimals, one newline at the end."""
    body = _rounded(summary.model_dump(mode="json"))
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _side(side: Side, samples: Sequence[Sample], file: SamplesFile) -> SideSummary | None:
    if not samples:
        return None
    header, scores = file.header, [sample.correct for sample in samples]
    labelled = get_task(header.task).predicts_labels
    rows = classes.class_rows(samples, header) if labelled else ()
    return SideSummary(
        n=len(samples),
        correct=sum(scores),
        accuracy=rate(scores, [sample.image for sample in samples]),
        macro_accuracy=classes.macro([row.accuracy.value for row in rows]),
        macro_f1=classes.macro([row.f1 for row in rows]),
        invalid=rate([float(sample.invalid) for sample in samples]),
        health=behaviour.health(samples),
        classes=rows,
        never_predicted=classes.never_predicted(rows),
        confusion=classes.cells(classes.confusion(samples)) if labelled else (),
        halves=classes.halves(samples),
        levels=classes.levels(samples, header),
        scoring=behaviour.scoring(samples, header),
        consistency=behaviour.consistency(samples, header),
        shapes=behaviour.shapes(samples, header),
        lengths=behaviour.lengths(samples),
        speed=behaviour.speed([timing for timing in file.timings if timing.side == side]),
        calibration=calibration(samples, header.temperatures.get(side)),
        decodings=decodings(samples, header),
        groups={} if labelled else groups(samples),
        metrics=task_metrics(samples, header),
    )


def _notes(by_side: dict[Side, list[Sample]], header: Header) -> tuple[str, ...]:
    """What a reader must know before trusting the metrics."""
    notes = [
        f"{display_model(side)}: {len(samples)} of {header.expected} examples answered; unfinished"
        for side, samples in by_side.items()
        if samples and len(samples) != header.expected
    ]
    overlap = header.overlap
    if overlap and overlap.exact + overlap.near:
        notes.append(
            f"train/test overlap (contamination): {overlap.exact} identical, {overlap.near} "
            f"near-duplicate images; the {get_task(header.task).metric} may be too high"
        )
    if header.overlap_skipped:
        why = header.overlap_skipped.detail
        notes.append(f"train/test overlap was not checked: {why}")
    return tuple(notes)


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # + 0.0 turns -0.0 into 0.0
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
