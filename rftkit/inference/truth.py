"""The right answer that a person typed, in the canonical text of its task."""

from __future__ import annotations

import json
from typing import Any

from rftkit.answers.boxes import Grid, box_of
from rftkit.answers.labels import match_label, normalise
from rftkit.core import Example
from rftkit.data.images import upright_size
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.metrics.completions import example_of
from rftkit.tasks import get_task

PLACE = "the answer you gave"
WRITE = {
    "boxes": "write boxes in pixels, such as [[10, 20, 110, 220]]",
    "box": "write one box in pixels, such as [10, 20, 110, 220]",
}


class TruthError(DataError):
    """A right answer that cannot be used, as it was typed; the app shows it beside its field."""


def gold_of(truth: str, task: str, example: Example) -> str:
    """The gold answer in the task's own canonical text. Raises TruthError, saying what to write."""
    named = {key: example.meta[key] for key in ("fields",) if key in example.meta}
    values: dict[str, Any] = {"gold": truth.strip(), **named}
    kind = get_task(task).answer_kind
    if kind == "label":
        values = {"gold": _label(truth, example), "choices": list(example.choices)}
    elif kind == "option":
        values |= {"choices": list(example.choices), "question": example.question}
    elif get_task(task).predicts_boxes:
        size = upright_size(example.image)
        boxes = _boxes(truth, kind, example.choices, size)
        values = {"gold": boxes, "coords": "pixels", "size": list(size)}
        if example.choices:
            values["choices"] = list(example.choices)
    try:
        return example_of(values, PLACE, get_task(task)).gold
    except DataError as error:
        raise TruthError(str(error)) from None


def _label(truth: str, example: Example) -> str:
    if not normalise(truth):
        raise TruthError(f"{PLACE}: {truth.strip()[:60]!r} has no word in it; write a label")
    if not example.choices:
        return truth.strip()
    label = match_label(truth, example.choices, example.aliases)
    if label is None:
        hint = did_you_mean(truth.strip(), example.choices[:20])
        raise TruthError(f"{PLACE}: {truth.strip()[:60]!r} is not on the list; {hint}")
    return label


def _boxes(truth: str, kind: str, kinds: tuple[str, ...], size: tuple[int, int]) -> list[Any]:
    """What the JSON holds. Raises TruthError, in the words of the page, for what is no box."""
    try:
        value = json.loads(truth)
    except (ValueError, RecursionError) as error:
        raise TruthError(f"{PLACE}: not JSON ({str(error)[:80]}); {WRITE[kind]}") from None
    if not isinstance(value, list):
        raise TruthError(f"{PLACE}: {truth.strip()[:60]} is not a list; {WRITE[kind]}")
    alone = kind == "box" and not (len(value) == 1 and isinstance(value[0], list))
    listed = [value] if alone else value
    for entry in listed:
        _check(entry, kind, kinds, Grid(*size))
    return value


def _check(entry: object, kind: str, kinds: tuple[str, ...], size: Grid) -> None:
    shown, edges = json.dumps(entry, ensure_ascii=False)[:80], entry
    if kinds:
        edges, named = (entry[:4], entry[4:]) if isinstance(entry, list) else (entry, [])
        if named not in [[name] for name in kinds]:
            raise TruthError(
                f"{PLACE}: {shown} does not end with a kind from the list ({', '.join(kinds[:5])});"
                f' write [[10, 20, 110, 220, "{kinds[0]}"]]'
            )
    box = box_of(edges, size)
    if box is None:
        raise TruthError(
            f"{PLACE}: box {shown} is not [left, top, right, bottom], left < right and "
            f"top < bottom; {WRITE[kind]}"
        )
    if min(box) < 0 or max(box) > 1:
        raise TruthError(
            f"{PLACE}: box {shown} leaves the image; "
            f"keep it inside {size.width} × {size.height} pixels"
        )
