"""Label Studio: the tasks of a project with their annotations, as JSON or as JSON-MIN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from rftkit.core import Row
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, silent
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import (
    Annotated,
    Thing,
    located,
    of_split,
    read_json,
    read_shared,
    shown,
)
from rftkit.data.sources.exports.image_names import find_image, is_image
from rftkit.data.sources.exports.label_studio_results import Said, controls, of_plain, of_results
from rftkit.data.sources.fields import list_of, value_of
from rftkit.errors import DataError, Faults
from rftkit.recipe.sections import Data

# keys of a JSON-MIN line that no control and no column of the user's is called by
PLAIN = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"),
    *("total_annotations", "cancelled_annotations", "total_predictions", "project", "inner_id"),
)
UNDONE = "tasks have no annotation; left out"
SEVERAL = "tasks have several annotations; of each the ground truth, or else the last, is taken"


class Task(NamedTuple):
    """One task of a project. data: what was imported; said: the annotation that counts."""

    location: str
    data: Mapping[str, object]
    said: Said


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each annotated task, in the order of the file.

    Values: the columns that were imported; of each control its answer, by the control's name; where
    there is but one, that of Choices as "label" and that of a Number or Rating as "answer". Where
    regions are drawn, "objects" and "categories", all those of the file, and "size"; "regions" are
    the boxes with a text in them. Columns: `image`, where a task holds several images' addresses.
    """
    where = located(data, split, note)
    read = partial(read_annotations, where.annotations, data.columns.get("image", ""))
    tasks = read_shared(read, where, data, note, cache)
    faults = Faults()
    for item in tasks if SPLIT in data.path else of_split(tasks, data, split, note):
        image = None
        with faults.caught():
            image = find_image(where.images, item.name, item.location)
        if image is not None:
            yield Row(item.location, image, item.values)
    faults.raise_any()


def read_annotations(path: DataPath, image: str = "", note: Note = silent) -> list[Annotated]:
    """What the annotated tasks of a file say; no image is looked for.

    image: the column of the image's address; "" for the first that ends as an image file does.
    Predictions, cancelled annotations and tasks without one are left out, and counted in a note.
    """
    tally, tasks, faults = Counter[str](), list[Task](), Faults()
    for location, entry in _entries(path):
        with faults.caught():
            task = _task(entry, location, tally)
            tasks += [task] if task else []
    faults.raise_any()
    if not tasks:
        raise DataError(f"{path}: no task is annotated; annotate some, and export them again")
    found = _annotated(_last_of_each(tasks, tally), image, tally)
    for what, count in (+tally).items():
        note(f"{path}: {count} {what}")
    return found


def _entries(path: DataPath) -> Iterator[tuple[str, Thing]]:
    whole = read_json(path)
    if not isinstance(whole, list):
        raise DataError(f"{path}: not a list of tasks; export the project as JSON or JSON-MIN")
    for number, entry in enumerate(whole):
        location = f"{path}[{number}]"
        if not isinstance(entry, dict):
            raise DataError(f"{location}: {shown(entry)} is not a task; export the project again")
        named = f" (task {entry['id']})" if isinstance(entry.get("id"), int) else ""
        yield location + named, entry


def _task(entry: Thing, location: str, tally: Counter[str]) -> Task | None:
    """One task; None where nobody has annotated it."""
    if "data" not in entry:
        return _plain(entry, location, tally)
    columns = value_of(entry, "data", location)
    if not isinstance(columns, dict):
        raise DataError(f"{location}: data {shown(columns)} is not an object; export it again")
    key = "completions" if "completions" in entry else "annotations"  # as older versions call them
    made = [one for one in list_of(entry, key, location) if not _is_cancelled(one, location)]
    if not made:
        tally[UNDONE] += 1
        return None
    tally[SEVERAL] += len(made) > 1
    chosen = max(made, key=_rank)
    results = list_of(chosen, "result", location)
    return Task(location, columns, of_results(results, location, tally))


def _is_cancelled(annotation: object, location: str) -> bool:
    if not isinstance(annotation, dict):
        raise DataError(f"{location}: annotation {shown(annotation)} is not an object")
    return bool(annotation.get("was_cancelled") or annotation.get("skipped"))


def _rank(annotation: object) -> tuple[bool, str]:
    """The ground truth first, then what was changed last; of equal ones the first in the file."""
    assert isinstance(annotation, dict)
    changed = annotation.get("updated_at") or annotation.get("created_at") or ""
    return bool(annotation.get("ground_truth")), str(changed)


def _plain(entry: Thing, location: str, tally: Counter[str]) -> Task:
    """A line of JSON-MIN: its columns and its controls stand side by side."""
    said, columns = Said(), dict[str, object]()
    for name, value in entry.items():
        if isinstance(value, str) and (name == "split" or is_image(value)):
            columns[name] = value
        elif name not in PLAIN:
            of_plain(name, value, said, location, tally)
    kept = {key: entry[key] for key in ("id", "updated_at", "created_at") if key in entry}
    return Task(location, {**columns, "": kept}, said)


def _last_of_each(tasks: Sequence[Task], tally: Counter[str]) -> list[Task]:
    """Of the lines of JSON-MIN that are about one task, the one that was changed last."""
    by_id: dict[object, Task] = {}
    for number, task in enumerate(tasks):
        kept = task.data.get("", {})
        own = kept.get("id") if isinstance(kept, dict) else None
        key = ("task", str(own)) if own is not None else ("line", number)
        if (before := by_id.get(key)) is not None:
            tally[SEVERAL] += 1
        if before is None or _changed(task) >= _changed(before):
            by_id[key] = task
    return list(by_id.values())


def _changed(task: Task) -> str:
    kept = task.data.get("", {})
    return str(kept.get("updated_at") or kept.get("created_at")) if isinstance(kept, dict) else ""


def _annotated(tasks: Sequence[Task], image: str, tally: Counter[str]) -> list[Annotated]:
    kinds = controls(task.said for task in tasks)
    objects = [task.said.objects(tally) for task in tasks]
    written = any(task.said.phrases() for task in tasks)
    drawn = any(task.said.regions for task in tasks)
    categories = tuple(sorted({box.label for boxes in objects for box in boxes}))
    found = []
    for task, boxes in zip(tasks, objects, strict=True):
        values: dict[str, object] = {k: v for k, v in task.data.items() if k}
        values |= _asked(task.said, kinds)
        if drawn:
            values |= {"objects": boxes, "categories": categories, **_size(task.said)}
        values |= {"regions": task.said.phrases()} if written else {}
        split = values.get("split")
        named = str(split) if isinstance(split, str) else ""
        found.append(Annotated(task.location, _address(task, image), values, split=named))
    return found


def _size(said: Said) -> dict[str, object]:
    return {"size": f"{said.size[0]}x{said.size[1]}"} if said.size else {}


def _asked(said: Said, kinds: Mapping[str, str]) -> dict[str, object]:
    """The answers by their controls, and where there is one of a kind, by what tasks call it."""
    values = dict(said.answers)
    for role, wanted in (("label", ("choices",)), ("answer", ("number", "rating"))):
        names = [name for name, kind in kinds.items() if kind in wanted]
        if len(names) == 1 and role not in kinds:
            values[role] = said.answers.get(names[0])
    return values


def _address(task: Task, image: str) -> str:
    """The address of the task's image. Raises DataError where it has none."""
    if image:
        address = task.data.get(image)
        if not isinstance(address, str):
            raise DataError(f"{task.location}: no column {image!r} with an image; {_there(task)}")
        return address
    named = [value for value in task.data.values() if isinstance(value, str) and is_image(value)]
    first = task.data.get("image")
    if not named and not isinstance(first, str):
        raise DataError(f"{task.location}: no image among its data; {_there(task)}")
    return first if isinstance(first, str) else named[0]


def _there(task: Task) -> str:
    names = ", ".join(name for name in task.data if name) or "nothing"
    return f"there is {names[:100]}; set data.columns.image"
