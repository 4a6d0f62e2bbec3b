"""Recorded answers as comparisons, and which of them are shown as examples."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from rftkit.answers import boxes
from rftkit.app.opening import Evaluated, Served
from rftkit.core import Completion, Example
from rftkit.data.box_grid import annotated_size
from rftkit.errors import DataError
from rftkit.inference.form import Form, Settings, of_example
from rftkit.inference.panes import Comparison, Pane, Piece, Verdict, answered_by_list, judged
from rftkit.inference.recorded_backend import chances, in_words
from rftkit.metrics.samples import Header, Sample, Side
from rftkit.recipe.schema import budget
from rftkit.tasks import get_task

KINDS: tuple[Verdict, ...] = ("fixed", "broke", "both right", "both wrong")
TITLES: dict[Verdict, str] = {
    "fixed": "Fixed by training",
    "broke": "Broken by training",
    "both right": "Both right",
    "both wrong": "Both wrong",
}


class Worked(NamedTuple):
    """One example of the page."""

    title: str
    comparison: Comparison


@lru_cache(maxsize=16)
def recorded_comparisons(evaluated: Evaluated) -> tuple[Comparison, ...]:
    """Every pair of answers of an evaluation, in the order of its file; read once."""
    pairs: dict[str, dict[Side, Sample]] = {}
    for sample in evaluated.file.samples:
        pairs.setdefault(sample.id, {})[sample.side] = sample
    header = evaluated.file.header
    return tuple(
        _comparison(pair, header, evaluated.examples[identity])
        for identity, pair in pairs.items()
        if len(pair) == 2
    )


def worked_examples(served: Served) -> list[Worked]:
    """One example of each kind, the fixed one first; only with images that can be opened."""
    by_verdict: dict[Verdict, Comparison] = {}
    for evaluated in served.evaluated:
        for both in recorded_comparisons(evaluated):
            verdict = both.verdict
            if verdict and verdict not in by_verdict and _can_open(both.asked.example):
                by_verdict[verdict] = both
            if len(by_verdict) == len(KINDS):
                break
    return [Worked(TITLES[kind], by_verdict[kind]) for kind in KINDS if kind in by_verdict]


def form_of(both: Comparison) -> Form:
    """The fields that ask the same question again."""
    asked, example = both.asked, both.asked.example
    takes = get_task(asked.task).form.takes
    names = example.choices or ((example.category,) if "categories" in takes else ())
    question = example.meta.get("phrase") or example.meta.get("asked") or ""
    if "text" in takes and not question:
        question = example.question
    return Form(
        asked.task,
        asked.settings,
        question=question,
        labels="\n".join(names),
        prompt=asked.prompt,
        truth=_truth(example, asked.task),
    )


def _truth(example: Example, task: str) -> str:
    if not get_task(task).predicts_boxes:
        return example.gold
    width, height = annotated_size(example)
    names = boxes.load_box_labels(example.gold)
    corners = [
        [round(x1 * width, 1), round(y1 * height, 1), round(x2 * width, 1), round(y2 * height, 1)]
        for x1, y1, x2, y2 in boxes.load_boxes(example.gold)
    ]
    named = [[*c, name] for c, name in zip(corners, names, strict=True)] if names else corners
    return json.dumps(named)


def _comparison(pair: dict[Side, Sample], header: Header, example: Example) -> Comparison:
    style = "think" if header.style == "empty-think" else header.style
    settings = Settings(style, _budget(header), seed=header.provenance.seed)
    asked = of_example(example, header.task, settings)
    named = asked.answers or {label: (label,) for s in pair.values() for label in s.scores or {}}
    asked = replace(asked, answers=named)
    both = Comparison(asked)
    for side, sample in pair.items():
        made = Completion(sample.text, sample.tokens, sample.finished)
        pane = Pane(
            side,
            "done",
            Piece(made, last=True),
            reasoning_tokens=sample.reasoning_tokens,
            answer_tokens=sample.answer_tokens,
        )
        found, words = chances(sample, header.temperatures), in_words(header.temperatures)
        both = both.with_pane(answered_by_list(judged(pane, asked), asked, found, words))
    return both


def _budget(header: Header) -> int:
    return budget(header.task, header.style)


def _can_open(example: Example) -> bool:
    try:
        example.image.open()
    except DataError:
        return False
    return True
