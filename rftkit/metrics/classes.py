"""Accuracy by class, by half and by level: which labels are told apart, and which are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from rftkit.measures import statistics
from rftkit.measures.rates import SEED, rate
from rftkit.measures.values import Rate
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.schema import Cell, ClassRow, Halves

INVALID = "(invalid)"
TOP = 3  # confusions named per class

Counts = Counter[tuple[str, str | None]]


def confusion(samples: Sequence[Sample]) -> Counts:
    """(gold, answer) -> count; an invalid reply counts under None."""
    return Counter((s.gold, None if s.invalid else s.answer) for s in samples)


def cells(counts: Counts) -> tuple[Cell, ...]:
    """The confusion matrix without its zeros, by gold and answer, invalid ones last."""
    keys = sorted(counts, key=lambda key: (key[0], key[1] is None, key[1] or ""))
    return tuple(Cell(gold=key[0], answer=key[1], count=counts[key]) for key in keys)


def class_rows(samples: Sequence[Sample], header: Header) -> tuple[ClassRow, ...]:
    """A row for each label that has test images, in the header's order."""
    counts = confusion(samples)
    scores: dict[str, list[float]] = {}
    for sample in samples:
        scores.setdefault(sample.gold, []).append(sample.correct)
    order = dict.fromkeys([*header.labels, *sorted(scores)])
    return tuple(_row(label, scores[label], counts) for label in order if label in scores)


def never_predicted(rows: Sequence[ClassRow]) -> tuple[str, ...]:
    """Labels that have test images and were not answered once."""
    return tuple(row.label for row in rows if row.predicted == 0)


def halves(samples: Sequence[Sample]) -> Halves | None:
    """Base, new and H; None unless both halves have samples."""
    base = [s.correct for s in samples if s.half == "base"]
    new = [s.correct for s in samples if s.half == "new"]
    if not base or not new:
        return None
    first, second = rate(base), rate(new)
    low, high = statistics.harmonic_interval(base, new, SEED)
    value = statistics.harmonic(first.value, second.value)
    mean = Rate(value=value, low=low, high=high, n=len(base) + len(new))
    return Halves(base=first, new=second, harmonic=mean)


def levels(samples: Sequence[Sample], header: Header) -> dict[str, Rate]:
    """Accuracy after rolling gold and answer up to each coarser level, from the same answers."""
    return {
        level: rate([same_at_level(sample, parents) for sample in samples])
        for level, parents in header.levels.items()
    }


def macro(values: Sequence[float]) -> float:
    """The mean over classes; 0 if there are none."""
    return fmean(values) if values else 0.0


def same_at_level(sample: Sample, parents: Mapping[str, str]) -> float:
    """1 if answer and gold belong to the same coarser class, else 0."""
    answer = None if sample.invalid or sample.answer is None else parents.get(sample.answer)
    return float(answer is not None and answer == parents.get(sample.gold))


def _row(label: str, scores: Sequence[float], counts: Counts) -> ClassRow:
    hits = counts[label, label]
    predicted = sum(count for (_, answer), count in counts.items() if answer == label)
    wrong = {
        answer or INVALID: count
        for (gold, answer), count in counts.items()
        if gold == label and answer != label
    }
    confused = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return ClassRow(
        label=label,
        n=len(scores),
        correct=sum(scores),
        accuracy=rate(scores),
        predicted=predicted,
        precision=hits / predicted if predicted else None,
        recall=hits / len(scores),
        f1=2 * hits / (predicted + len(scores)),
        confused=tuple(confused),
    )
