"""`rftkit init`: a commented recipe for images of the user's own, and what it was made from."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from rftkit.data.archives.members import SUFFIXES
from rftkit.data.examples import Examples, load_examples
from rftkit.data.read_cache import ReadCache
from rftkit.data.reply_budget import fitting_budget
from rftkit.errors import DataError, GatheredError
from rftkit.hardware.probe import gpus
from rftkit.messages import runnable
from rftkit.model_info.support import advised
from rftkit.preflight.findings import Finding, findings
from rftkit.preflight.starter_text import Start, starter_text
from rftkit.recipe.builtin import write_new
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Data
from rftkit.tasks import get_task

TABLES = (".csv", ".jsonl", ".json")
GENERIC = re.compile("train|test|val|data|annotation|instances|coco")  # names that say little
LARGE_TEST = 1000  # held-out images: more are measured no better, and take their time


class Starter(NamedTuple):
    """A recipe that was written. taken: of what; others: what else is there, and how to take it."""

    file: Path
    taken: Start
    others: tuple[tuple[Finding, str], ...]


def write_starter(
    given: Path, out: Path | None = None, task: str | None = None, shots: int = 0
) -> Starter:
    """Write a commented recipe for data; never over a file that is there.

    given: a folder, annotations, a table, an archive, or the id of a hub data set. task: what to
    take where several are there. shots: training images of each class; 0 uses all.
    Raises DataError for data that cannot be trained on; where several rows cannot, the recipe is
    written all the same.
    """
    found = findings(given)
    chosen = [one for one in found if task in (None, one.task)]
    if not chosen:
        there = ", ".join(dict.fromkeys(one.task for one in found))
        raise DataError(f"{given}: nothing for --task {task} there; found: {there}")
    taken, file = chosen[0], out or Path(f"{_stem(given)}.toml")
    try:
        start = started(taken, file.parent, shots)
    except GatheredError as error:  # `check`, which lists them all, needs the recipe
        data = taken.data.model_copy(update={"shots": shots})
        plain = Start(taken, _relative(data, file.parent), (taken.words,), budget=0, limit=0)
        write_new(file, starter_text(plain))
        raise DataError(f"{error}; wrote {file} all the same") from None
    write_new(file, starter_text(start))
    others = tuple((one, _way_to(one, taken, given)) for one in found if one is not taken)
    return Starter(file, start, others)


def started(taken: Finding, folder: Path, shots: int) -> Start:
    """The recipe for a finding, its data read: how many images, how long the answers are.

    folder: of the recipe, from which its paths count.
    """
    data = taken.data.model_copy(update={"shots": shots})
    gigabytes = max((gpu.total / 1024 for gpu in gpus()), default=0.0)
    tables = {
        "model": {"name": advised(gigabytes).hub},
        "data": data.model_dump(mode="python"),
        "options": dict(taken.options),
    }
    recipe = Recipe.model_validate({"task": taken.task, **tables})
    cache = ReadCache()
    ours, theirs = (load_examples(recipe, split, cache=cache) for split in data.splits)
    fitting = fitting_budget(recipe, (*ours.examples, *theirs.examples))
    images = len({example.image.name for example in theirs.examples})
    return Start(
        taken,
        data=_relative(data, folder),
        found=tuple(_described(taken, ours, theirs)),
        budget=fitting if fitting > recipe.method.max_new_tokens else 0,
        limit=LARGE_TEST if images > LARGE_TEST else 0,
        gigabytes=gigabytes,
    )


def _described(taken: Finding, ours: Examples, theirs: Examples) -> list[str]:
    """Lines on what was found: how many images, of what, and how they are divided."""
    counts = [len({e.image.name for e in part.examples}) for part in (ours, theirs)]
    kinds = sorted({e.category for e in ours.examples if e.category})
    lines = [f"{counts[0]} images to train on, {counts[1]} to test on"]
    if taken.data.source != "folder":
        lines.insert(0, taken.words)
    if kinds:
        per_kind = {k: len({e.image.name for e in ours.examples if e.category == k}) for k in kinds}
        fewest = min(kinds, key=lambda kind: per_kind[kind])
        what = get_task(taken.task).words.groups
        shown = ", ".join(kinds[:8]) + (", …" if len(kinds) > 8 else "")
        lines.append(f"{len(kinds)} {what}: {shown}")
        lines.append(f"fewest training images: {per_kind[fewest]}, of {fewest!r}")
    if taken.validation:
        lines.append(f"split {taken.validation!r} chooses the step that is kept")
    return [*lines, *dict.fromkeys((*ours.notes, *theirs.notes))]


def _relative(data: Data, folder: Path) -> dict[str, object]:
    """The keys of a [data] table, paths as they count from the folder of the recipe."""
    hub = data.source == "hub" and not Path(data.path).exists()
    place = (lambda path: path) if hub else (lambda path: _from(folder, path))
    keys: dict[str, object] = {"source": data.source, "path": place(data.path)}
    if data.images:
        keys["images"] = place(data.images)
    if data.splits != ("train", "test"):
        keys["splits"] = list(data.splits)
    if data.columns:
        keys["columns"] = dict(data.columns)
    if data.shots:
        keys["shots"] = data.shots
    return keys


def _from(folder: Path, path: str) -> str:
    """A path as it counts from a folder; an absolute one where that would climb far up."""
    relative = os.path.relpath(path, folder)
    return str(Path(path).absolute()) if relative.startswith("../../..") else relative


def _way_to(other: Finding, taken: Finding, given: Path) -> str:
    """The command that takes another finding."""
    if other.task != taken.task:
        return runnable("init", str(given), "--task", other.task)
    return runnable("init", str(other.place))


def _stem(given: Path) -> str:
    """What the recipe is called: the folder or the file, without a suffix.

    A file that is called after a split or a format says less than its folder does.
    """
    if given.is_file() and given.suffix in TABLES and not GENERIC.search(given.stem.casefold()):
        return given.stem
    hub = not given.exists()
    packed = given.name.lower().endswith(SUFFIXES)
    root = given if hub or packed or given.is_dir() else given.parent
    name = root.resolve().name
    suffix = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    return name[: len(name) - len(suffix)].partition("@")[0]
