"""What the columns of a table are for, from their names and first values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rftkit.errors import DataError
from rftkit.preflight.guessed_fields import guessed, objects_in
from rftkit.recipe.sections import Column
from rftkit.tasks import fields, get_task

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
KNOWN: tuple[Column, ...] = ("objects", "boxes", "box", "phrase", "options", "question")
BESIDE = ("split", "subset", "partition", "fold", "set", "phase", "usage", "id", "grid", "source")


class Use(NamedTuple):
    """What a table is for. columns: role -> column, where the column has another name.

    options: of the task.
    """

    task: str
    columns: dict[Column, str]
    options: Mapping[str, Any] = {}


def use_of(location: str, names: Sequence[str], first: Sequence[Mapping[str, object]]) -> Use:
    """The task that a table can be used for, and its columns. first: some of its rows.

    Raises DataError, with the columns that are there, if no column can hold images or answers.
    """
    found = _roles(names)
    task = _task(found, first)
    if "image" not in found or task is None:
        lacking = "an image" if "image" not in found else "a label or an answer"
        raise DataError(
            f"{location}: no column looks like {lacking} ({', '.join(names)}); rename one, or "
            'write a recipe with data.columns, such as { image = "file", label = "kind" }'
        )
    wanted = get_task(task).starter.columns
    return Use(task, {r: name for r, name in found.items() if r in wanted and name != r})


def fields_of(names: Sequence[str], first: Sequence[Mapping[str, object]]) -> Use | None:
    """A table as one of documents and their fields; None for one without images or fields.

    The fields are JSON objects in the column of the answer, or two columns at least beside those
    that are read for every table. first: some of its rows.
    """
    found = _roles(names)
    if "image" not in found:
        return None
    columns: dict[Column, str] = {"image": found["image"]}
    objects = objects_in([row.get(found["answer"]) for row in first]) if "answer" in found else []
    if objects:
        columns["answer"] = found["answer"]
    elif any(role in found for role in KNOWN):
        return None  # a table of boxes, phrases or questions
    read = (found["image"], found.get("rationale"))
    others = [name for name in names if name not in read and name.casefold() not in BESIDE]
    options = guessed(objects or [{name: row.get(name) for name in others} for row in first])
    if not options or (not objects and len(options["fields"]) < 2):
        return None
    renamed = {role: name for role, name in columns.items() if name != role}
    return Use(fields.TASK.name, renamed, options)


def _roles(names: Sequence[str]) -> dict[Column, str]:
    """The columns by what their names say that they are for."""
    there = {name.casefold().strip(): name for name in reversed(names)}
    found: dict[Column, str] = {}
    for role, usual in NAMES.items():
        name = next((there[one] for one in usual if one in there), None)
        if name is not None and name not in found.values():
            found[role] = name
    return found


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
