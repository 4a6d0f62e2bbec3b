"""What the columns of a table are for, from their names and first values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rftkit.errors import DataError
from rftkit.recipe.sections import Column
from rftkit.tasks import get_task

NAMES: Mapping[Column, tuple[str, ...]] = {
    "image": (
        *("image", "images", "image_path", "image_file", "image_name", "img", "picture", "photo"),
        *("file", "filename", "file_name", "filepath", "file_path", "path"),
    ),
    "objects": ("objects",),
    "boxes": ("boxes", "bboxes"),
    "box": ("box", "bbox"),
    "phrase": ("phrase", "expression", "sentence", "caption"),
    "options": ("options", "choices"),
    "question": ("question", "query", "problem"),
    "answer": ("answer", "solution", "count", "number"),
    "label": (
        *("label", "class", "class_name", "category", "target", "variant", "variation"),
        *("species", "breed", "kind", "type", "name"),
    ),
    "rationale": ("rationale", "reasoning", "explanation"),
}


class Use(NamedTuple):
    """What a table is for. columns: role -> column, where the column has another name."""

    task: str
    columns: dict[Column, str]


def use_of(location: str, names: Sequence[str], first: Sequence[Mapping[str, object]]) -> Use:
    """The task that a table can be used for, and its columns. first: some of its rows.

    Raises DataError, with the columns that are there, if no column can hold images or answers.
    """
    there = {name.casefold().strip(): name for name in reversed(names)}
    found: dict[Column, str] = {}
    for role, usual in NAMES.items():
        name = next((there[one] for one in usual if one in there), None)
        if name is not None and name not in found.values():
            found[role] = name
    task = _task(found, first)
    if "image" not in found or task is None:
        lacking = "an image" if "image" not in found else "a label or an answer"
        raise DataError(
            f"{location}: no column looks like {lacking} ({', '.join(names)}); rename one, or "
            'write a recipe with data.columns, such as { image = "file", label = "kind" }'
        )
    wanted = get_task(task).starter.columns
    return Use(task, {r: name for r, name in found.items() if r in wanted and name != r})


def _task(found: Mapping[Column, str], first: Sequence[Mapping[str, object]]) -> str | None:
    if "objects" in found or "boxes" in found:
        return "detection"
    if {"phrase", "box"} <= {*found}:
        return "grounding"
    if {"options", "question", "answer"} <= {*found}:
        return "choice"
    if "answer" in found and all(_is_number(row.get(found["answer"])) for row in first):
        return "number"
    return "classification" if "label" in found else None


def _is_number(value: object) -> bool:
    try:
        float(str(value).replace(",", ""))
    except ValueError:
        return False
    return True
