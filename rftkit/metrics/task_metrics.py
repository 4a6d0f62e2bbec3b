"""The further figures of a task, from its samples: mAP of boxes, errors of counts, CV-Bench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean

from rftkit.answers import boxes
from rftkit.answers.boxes import Found, Labelled
from rftkit.answers.labels import match
from rftkit.measures.average_precision import (
    CocoFigures,
    LvisFigures,
    coco_map,
    lvis_map,
    map_interval,
)
from rftkit.measures.box_metrics import Listed, box_figures, grounding_figures
from rftkit.measures.coco_eval import Guess, Rules, Scene, Truth
from rftkit.measures.question_metrics import CV_BENCH, circular, cv_bench, grouped, number_figures
from rftkit.measures.statistics import Interval
from rftkit.measures.values import Measure, Rate
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.scoring import attempt_of
from rftkit.tasks import detection, grounding

Figures = dict[str, Measure]


def groups(samples: Sequence[Sample]) -> dict[str, Rate]:
    """The headline score of each category; nothing if there is but one."""
    found = grouped([(sample.category, sample.correct) for sample in samples])
    return found if len(found) > 1 else {}


def of_task(samples: Sequence[Sample], header: Header) -> Figures:
    """What the task's field reports beside the headline; nothing for classification."""
    if header.task == "detection":
        return _detection(samples, header)
    if header.task == "grounding":
        return _grounding(samples, header)
    if header.task == "choice":
        return _choice(samples)
    return _number(samples) if header.task == "number" else {}


def _detection(samples: Sequence[Sample], header: Header) -> Figures:
    listed = [_listed(sample, header) for sample in samples]
    truths = [
        Truth(one.image, thing.label, thing.box, thing.crowd)
        for one in listed
        for thing in one.gold
    ]
    guesses = [
        Guess(one.image, entry.label, entry.box, entry.confidence)
        for one in listed
        for entry in one.found
    ]
    scenes = _scenes(samples)
    labels = sorted({label for scene in scenes for label in scene.labels})
    frequency = _frequencies(samples)
    rules: Rules = "lvis" if frequency else "coco"
    found: CocoFigures | LvisFigures = (
        lvis_map(truths, guesses, scenes, labels, frequency)  # type: ignore[arg-type]
        if frequency
        else coco_map(truths, guesses, scenes, labels)
    )
    interval = map_interval(truths, guesses, scenes, labels, rules)
    stated = any(guess.confidence != 1 for guess in guesses)
    source = f"{rules.upper()} rules, {'stated' if stated else 'constant'} confidences"
    lists = box_figures(listed)
    return {
        "mAP": _measure(found.ap, interval, found.objects, source),
        "AP50": _measure(found.ap50, None, found.objects),
        "AP75": _measure(found.ap75, None, found.objects),
        **_groups_of_lvis(found),
        **_of_halves(samples, found),
        "F1 at 0.5": _of(lists.f1),
        "precision at 0.5": _of(lists.precision),
        "recall at 0.5": _of(lists.recall),
        "IoU of matches": _of(lists.mean_iou),
        "right count": _of(lists.exact_count),
        "count error": Measure(value=lists.count_error, n=lists.images, unit="number"),
        **{f"AP of {label}": _measure(ap, None, 0) for label, ap in found.by_label.items()},
    }


def _frequencies(samples: Sequence[Sample]) -> dict[str, str]:
    """LVIS's r, c or f by label; a sample that asks for several at once has all theirs as JSON."""
    found: dict[str, str] = {}
    for sample in samples:
        if said := sample.meta.get("frequency"):
            found |= json.loads(said) if sample.choices else {sample.category: said}
    return found


def _groups_of_lvis(found: CocoFigures | LvisFigures) -> Figures:
    if isinstance(found, CocoFigures):
        return {}
    parts = {"rare": found.ap_rare, "common": found.ap_common, "frequent": found.ap_frequent}
    return {f"mAP of {name} ones": _measure(ap, None, 0) for name, ap in parts.items()}


def _of_halves(samples: Sequence[Sample], found: CocoFigures | LvisFigures) -> Figures:
    """The mAP of the categories trained on and of the others: the mean of theirs alone."""
    half_of = {sample.category: sample.half for sample in samples if sample.half}
    parts: dict[str, list[float]] = {"base": [], "new": []}
    for label, ap in found.by_label.items():
        if ap is not None and label in half_of:
            parts[half_of[label]].append(ap)
    return {
        f"mAP of {half} categories": _measure(fmean(values), None, len(values))
        for half, values in parts.items()
        if values
    }


def _listed(sample: Sample, header: Header) -> Listed:
    """The boxes found and those there, each with a label that was asked for, or none."""
    attempt = attempt_of(sample, header)
    known = sample.choices or ()
    entries = [
        Found(entry.box, entry.confidence, (match(entry.label, known) or "") if known else
              sample.category)
        for entry in detection.found(attempt) or []
    ]  # fmt: skip
    gold = [*_things(sample, sample.gold, False), *_things(sample, sample.meta.get("crowd"), True)]
    return Listed(sample.image, entries, gold)


def _things(sample: Sample, text: str | None, crowd: bool) -> list[Labelled]:
    if text is None:
        return []
    found = boxes.load(text)
    names = boxes.load_names(text) or [sample.category] * len(found)
    return [Labelled(name, box, crowd) for name, box in zip(names, found, strict=True)]


def _scenes(samples: Sequence[Sample]) -> list[Scene]:
    """One scene for each image, with all categories that it was asked for."""
    asked: dict[str, list[str]] = {}
    partly: dict[str, list[str]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for sample in samples:
        asked.setdefault(sample.image, []).extend(sample.choices or (sample.category,))
        if said := sample.meta.get("not_exhaustive"):
            own = json.loads(said) if sample.choices else [sample.category]
            partly.setdefault(sample.image, []).extend(own)
        width, _, height = sample.meta.get("size", "1000x1000").partition("x")
        sizes[sample.image] = (int(width), int(height))
    return [
        Scene(name, *sizes[name], tuple(labels), tuple(partly.get(name, ())))
        for name, labels in asked.items()
    ]


def _grounding(samples: Sequence[Sample], header: Header) -> Figures:
    pairs = [
        (grounding.found(attempt_of(sample, header)), boxes.load(sample.gold)[0])
        for sample in samples
    ]
    found = grounding_figures(pairs)
    return {"mIoU": _of(found.mean_iou), "accuracy at 0.5": _of(found.right)}


def _choice(samples: Sequence[Sample]) -> Figures:
    found: Figures = {}
    questions = [(_question(sample), sample.correct) for sample in samples]
    if len({name for name, _ in questions}) < len(questions):
        found["circular accuracy"] = _of(circular(questions))
    sources = [sample.meta.get("source", "") for sample in samples]
    if {*sources} <= {*CV_BENCH}:
        bench = cv_bench([(s, x.correct) for s, x in zip(sources, samples, strict=True)])
        if bench.official:
            found["CV-Bench official"] = _of(bench.official)
        found["CV-Bench micro"] = _of(bench.micro)
        found |= {f"accuracy on {name}": _of(rate) for name, rate in bench.by_source.items()}
    return found


def _question(sample: Sample) -> str:
    """The id of the question, whichever rotation of its options was shown."""
    return sample.meta.get("question", sample.id)


def _number(samples: Sequence[Sample]) -> Figures:
    pairs = [(float(s.gold), None if s.answer is None else float(s.answer)) for s in samples]
    found = number_figures(pairs)
    return {
        "within one": _of(found.within_one),
        "mean absolute error": _count(found.mean_absolute_error, found.n - found.invalid),
        "root mean squared error": _count(found.root_mean_squared_error, found.n - found.invalid),
        "bias": _count(found.bias, found.n - found.invalid),
    }


def _measure(value: float | None, interval: Interval | None, n: int, note: str = "") -> Measure:
    low, high = interval or (None, None)
    return Measure(value=value, low=low, high=high, n=n, note=note)


def _of(rate: Rate) -> Measure:
    return Measure(value=rate.value, low=rate.low, high=rate.high, n=rate.n)


def _count(value: float | None, n: int) -> Measure:
    return Measure(value=value, n=n, unit="number")
