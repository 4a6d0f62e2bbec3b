"""One split of a recipe's data as examples: its rows, read by the task, each kept once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rftkit import data as sources
from rftkit import tasks
from rftkit.answers.labels import colliding_labels, normalise
from rftkit.core import Example
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.errors import DataError, Faults
from rftkit.messages import did_you_mean
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Data
from rftkit.tasks.annotated import categories_of, read_objects
from rftkit.tasks.options import DetectionOptions, Options
from rftkit.tasks.reading import Reading


@dataclass(frozen=True)
class SplitExamples:
    """A split as it was read: all its examples, without repeats, halves, shots or offered labels.

    label_ids: class name -> its number in a CoOp split file; empty for other sources.
    held_out_note: the one of `notes` that says that the data name no split; "" if they name one.
    """

    examples: tuple[Example, ...]
    label_ids: Mapping[str, int]
    notes: tuple[str, ...]
    held_out_note: str = ""


def read_split(
    recipe: Recipe, split: str, cache: ReadCache, *, as_test: bool = False
) -> SplitExamples:
    """The examples of a split, read once for each `cache`.

    as_test: the training split is asked as a test one is, such as with every rotation of options.

    Raises DataError for a split without examples, a row that its task refuses, an image with two
    labels, and categories that are not there or read the same.
    """
    is_test = as_test or split != recipe.data.train_split
    key = (*_key(recipe, split), is_test)
    return cache.once(key, lambda _: _read_split(recipe, split, cache, is_test))


def as_known(part: SplitExamples, labels: Sequence[str]) -> SplitExamples:
    """The examples with known labels spelled as they are known: `maine coon` as `Maine_Coon`."""
    known, renamed = {normalise(label): label for label in labels}, dict[str, str]()
    for example in part.examples:
        if (label := known.get(normalise(example.gold), example.gold)) != example.gold:
            renamed[example.gold] = label
    if not renamed:
        return part
    examples = tuple(
        replace(e, gold=renamed.get(e.gold, e.gold), category=renamed.get(e.category, e.category))
        for e in part.examples
    )
    return replace(part, examples=examples)


def check_spellings(kind: str, places: Mapping[str, str]) -> None:
    """Raises DataError for two names that no answer could tell apart.

    kind: what they are, in the plural. places: name -> where it stands first, "" if in no file.
    """
    for first, second in colliding_labels(sorted(places)):
        location = f"{places[second]}: " if places[second] else ""
        other = f"{first!r} ({places[first]})" if places[first] else repr(first)
        raise DataError(
            f"{location}{kind} {second!r} and {other} read the same; rename or merge one"
        )


def _key(recipe: Recipe, split: str) -> tuple[str, ...]:
    """Everything that `_read_split` depends on."""
    data = recipe.data.model_dump_json(exclude={"shots", "choices", "classes", "question"})
    return ("split", split, recipe.task, data, recipe.options.model_dump_json(), str(recipe.seed))


def _read_split(recipe: Recipe, split: str, cache: ReadCache, is_test: bool) -> SplitExamples:
    if lacking := recipe.options.lacking():
        raise DataError(lacking)
    task, notes = tasks.get_task(recipe.task), SourceNotes()
    reading = Reading(recipe.options, _columns(recipe.data), is_test, recipe.seed)
    wanted = _spelled_categories(recipe.options)
    by_id: dict[str, Example] = {}
    label_ids: dict[str, int] = {}
    annotated = set[str]()
    rows = repeats = 0
    faults = Faults()
    for row in faults.of(sources.rows(_divided_data(recipe), split, notes, cache)):
        rows += 1
        with faults.caught():
            if wanted:
                annotated.update(categories_of(row, reading, read_objects(row, reading)))
            for example in task.read(row, reading):
                first = by_id.setdefault(example.id, example)
                if first is not example:
                    _check_same_gold(first, example)
                    repeats += 1
                if isinstance(number := row.values.get("label_id"), int):
                    label_ids[example.category] = number
    faults.raise_any()
    examples = tuple(by_id.values())
    if task.answer_kind == "boxes":
        _check_categories(examples, () if is_test else wanted, annotated, split)
    if not examples:
        raise _nothing_to_ask(recipe.data, split, rows)
    if repeats:
        notes(f"split {split!r}: {repeats} rows repeat an image and its label; kept once")
    return SplitExamples(examples, label_ids, tuple(notes.lines), notes.held_out)


def _columns(data: Data) -> dict[str, str]:
    """Role -> column as the task is to read it; phrases are read by their own column names."""
    if data.source == "refs":
        return {}  # the source has applied them, and its rows have the usual names
    return {str(role): name for role, name in data.columns.items()}


def _divided_data(recipe: Recipe) -> Data:
    """The data, divided as its task needs: a number or text that stands in `label` is no class."""
    if tasks.get_task(recipe.task).answer_kind not in ("number", "text"):
        return recipe.data
    columns = recipe.data.columns
    counts = {"answer": columns.get("label", "label"), **columns}
    return recipe.data.model_copy(update={"columns": counts})


def _spelled_categories(options: Options) -> Sequence[str]:
    """The categories that a recipe names one by one; a list by name may hold more than the data."""
    chosen = options.categories if isinstance(options, DetectionOptions) else ()
    return () if isinstance(chosen, str) else chosen


def _check_same_gold(first: Example, again: Example) -> None:
    if first.gold != again.gold:
        raise DataError(
            f"{again.location}: image {again.id!r} is {again.gold!r} here and "
            f"{first.gold!r} at {first.location}; keep one label"
        )


def _check_categories(
    examples: Iterable[Example], wanted: Sequence[str], annotated: Collection[str], split: str
) -> None:
    """Raises DataError for asked categories that read the same, and for a wanted one not there."""
    places: dict[str, str] = {}
    for example in examples:
        for name in example.choices or (example.category,):
            places.setdefault(name, example.location)
    check_spellings("categories", places)
    if lacking := [name for name in wanted if name not in annotated]:
        raise DataError(
            f"options.categories: no {lacking[0]!r} in split {split!r}; "
            f"{did_you_mean(lacking[0], sorted(annotated))}"
        )


def _nothing_to_ask(data: Data, split: str, rows: int) -> DataError:
    location = f"{data.path or data.source}: split {split!r}"
    if not rows:
        return DataError(f"{location} is empty; add rows, or change data.splits")
    return DataError(
        f"{location}: no boxes of the asked categories; annotate some, or change options.categories"
    )
