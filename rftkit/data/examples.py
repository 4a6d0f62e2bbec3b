"""From a recipe to the examples of a split: rows, labels, halves, shots, offered labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rftkit import data as sources
from rftkit import labels as spelling
from rftkit import tasks
from rftkit.core import Example
from rftkit.data import shots
from rftkit.data.hierarchies import Hierarchy, read_hierarchy
from rftkit.data.placing import boxed_placer
from rftkit.errors import DataError
from rftkit.hints import did_you_mean
from rftkit.options import DetectionOptions, LabelOptions, Names, Options
from rftkit.recipe import Recipe
from rftkit.sections import Data
from rftkit.tasks.annotated import categories_of, chosen_categories, read_objects
from rftkit.tasks.task import Reading


@dataclass(frozen=True)
class Examples:
    """What a run trains or is tested on.

    labels: every label or category of the data set, sorted. notes: what a person should know of
    the data. levels: coarser classes, level -> label -> class of that level.
    """

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Split:
    """A split as it was read, without repeats; ids: the label ids of a CoOp split file."""

    examples: tuple[Example, ...]
    ids: Mapping[str, int]
    notes: tuple[str, ...]


def load_examples(
    recipe: Recipe, split: str, *, limit: int = 0, labels: Sequence[str] | None = None
) -> Examples:
    """The examples of a split, by its name: the training one is `recipe.data.train_split`.

    The training split is filtered to `data.classes` and drawn to `data.shots`. Any other keeps
    all classes; `meta["half"]` is "base", "new" or "all", and an example is offered labels of its
    own half only. limit: at most so many pictures, evenly by label where there are labels. labels:
    the known labels, where the data has no training split to learn them from. Pictures are not
    decoded; of those with boxes the header is read.
    """
    task, train = tasks.by_name(recipe.task), recipe.data.train_split
    found = _read(recipe, split)
    learnt = found if split == train else None
    if learnt is None and task.labels and not labels:
        learnt = _read(recipe, train) if train else found
    others = () if learnt is None or learnt is found else learnt.notes
    if task.labels:
        known = _known_labels(recipe, found, learnt, labels)
    else:
        known = _known_categories(recipe, found)
    ids = {**(learnt.ids if learnt else {}), **found.ids}
    groups = _groups(recipe, known, ids)
    half_of = {label: half for half, own in groups.items() for label in own}
    chosen = found.examples
    if split == train:
        wanted = [e for e in chosen if half_of[e.category] == recipe.data.classes]
        if not wanted:
            raise DataError(
                f"data.classes: {recipe.data.classes!r} has nothing to train on in {split!r}; "
                'set it to "all", or add pictures'
            )
        chosen = shots.draw_shots(wanted, recipe.data.shots, recipe.seed)
    hierarchy = _hierarchy(recipe, known)
    boxed = boxed_placer(recipe.model)
    placed = tuple(
        boxed(_placed(example, recipe, half := half_of[example.category], groups[half]))
        for example in limited(recipe, chosen, limit)
    )
    if meant := hierarchy.spellings:
        placed = tuple(replace(example, aliases=meant) for example in placed)
    notes = tuple(dict.fromkeys([*found.notes, *others]))
    return Examples(placed, _named(recipe, known, found), notes, hierarchy.levels)


def limited(recipe: Recipe, examples: Sequence[Example], limit: int) -> tuple[Example, ...]:
    """At most `limit` pictures, evenly by label where there are labels, with all their prompts."""
    picked = shots.spread if tasks.by_name(recipe.task).labels else shots.spread_pictures
    return picked(examples, limit)


def _read(recipe: Recipe, split: str) -> _Split:
    task, notes = tasks.by_name(recipe.task), list[str]()
    columns = {str(role): name for role, name in recipe.data.columns.items()}
    if recipe.data.source == "refs":
        columns = {}  # it reads by them itself, and its rows have the usual names
    test = split != recipe.data.train_split
    reading = Reading(recipe.options, columns, test, recipe.seed)
    found: dict[str, Example] = {}
    ids: dict[str, int] = {}
    offered, repeats, pictures = set[str](), 0, 0
    spelled = _spelled_out(recipe.options)
    for row in sources.rows(_divided(recipe), split, notes.append):
        pictures += 1
        if spelled:
            offered.update(categories_of(row, reading, read_objects(row, reading)))
        for example in task.read(row, reading):
            if (before := found.setdefault(example.id, example)) is not example:
                _check_repeat(before, example)
                repeats += 1
        if isinstance(number := row.values.get("label_id"), int):
            ids[example.category] = number
    if task.name == "detection":
        asked = {name for e in found.values() for name in e.choices or (e.category,)}
        for first, second in spelling.collisions(sorted(asked)):
            raise DataError(
                f"categories {first!r} and {second!r} read the same; rename or merge one"
            )
    lacking = [] if test else [name for name in spelled if name not in offered]
    if lacking:
        raise DataError(
            f"options.categories: no {lacking[0]!r} in split {split!r}; "
            f"{did_you_mean(lacking[0], sorted(offered))}"
        )
    if not found:
        place = f"{recipe.data.path or recipe.data.source}: split {split!r}"
        if pictures:
            raise DataError(
                f"{place}: no boxes of the asked categories; annotate some, or change "
                "options.categories"
            )
        raise DataError(f"{place} is empty; add rows, or change data.splits")
    if repeats:
        notes.append(f"split {split!r}: {repeats} rows repeat a picture and its label; kept once")
    return _Split(tuple(found.values()), ids, tuple(notes))


def _spelled_out(options: Options) -> tuple[str, ...]:
    """The categories that a recipe names one by one; a list by name may hold more than the data."""
    chosen = options.categories if isinstance(options, DetectionOptions) else ()
    return () if isinstance(chosen, str) else chosen


def _divided(recipe: Recipe) -> Data:
    """The data, divided as its task needs: a count that stands in `label` is no class."""
    if recipe.task != "number":
        return recipe.data
    columns = recipe.data.columns
    counts = {"answer": columns.get("label", "label"), **columns}
    return recipe.data.model_copy(update={"columns": counts})


def _check_repeat(before: Example, example: Example) -> None:
    if before.gold != example.gold:
        raise DataError(
            f"{example.place}: picture {example.id!r} is {example.gold!r} here and "
            f"{before.gold!r} at {before.place}; keep one label"
        )


def _known_labels(
    recipe: Recipe, found: _Split, learnt: _Split | None, given: Sequence[str] | None
) -> tuple[str, ...]:
    """The data set's labels, sorted; refuses those that no answer could tell apart.

    With `data.classes` in halves the held-out labels count too: the new ones need not be in the
    training split.
    """
    known = set(given or ()) | ({e.gold for e in learnt.examples} if learnt else set())
    if recipe.data.classes != "all":
        splits = [_read(recipe, recipe.data.test_split)] if found is learnt else [found]
        known |= {example.gold for split in splits for example in split.examples}
    everything = known | {example.gold for example in found.examples}
    for first, second in spelling.collisions(sorted(everything)):
        raise DataError(f"labels {first!r} and {second!r} read the same; rename or merge one")
    for example in found.examples:
        if example.gold not in known:
            raise DataError(
                f"{example.place}: label {example.gold!r} is not among the {len(known)} of the "
                f"training split; add pictures of it there or take it out here"
            )
    if len(known) < 2:
        raise DataError(f"one class only: {min(known)!r}; there is nothing to tell apart, add one")
    return tuple(sorted(known))


def _known_categories(recipe: Recipe, found: _Split) -> tuple[str, ...]:
    """The categories, sorted; in halves those of both splits, so that the halves are the same."""
    splits = [found]
    if recipe.data.classes != "all":
        splits = [_read(recipe, split) for split in recipe.data.splits if split]
    return tuple(sorted({example.category for split in splits for example in split.examples}))


def _named(recipe: Recipe, known: tuple[str, ...], found: _Split) -> tuple[str, ...]:
    """The labels or categories that have a name, those that are asked for all at once too."""
    if isinstance(recipe.options, DetectionOptions) and recipe.options.ask == "picture":
        return tuple(sorted({name for example in found.examples for name in example.choices}))
    return tuple(name for name in known if name)


def _groups(
    recipe: Recipe, known: tuple[str, ...], ids: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """The sorted labels or categories of each half, or of "all"."""
    if recipe.data.classes == "all":
        return {"all": known}
    if isinstance(recipe.options, DetectionOptions) and recipe.options.new:
        unseen = _unseen(recipe.options.new, known)
        new = tuple(name for name in known if name in unseen)
        return {"base": tuple(name for name in known if name not in unseen), "new": new}
    halves = shots.base_new(known, ids if set(known) <= set(ids) else None)
    return {"base": tuple(sorted(halves.base)), "new": tuple(sorted(halves.new))}


def _unseen(given: Names, known: tuple[str, ...]) -> tuple[str, ...]:
    """The categories of the new half; a list by name may hold some that the data has not.

    Raises DataError for one that was spelled out and is not there, and for a list of none that is.
    """
    wanted = chosen_categories(given)
    lacking = [name for name in wanted if name not in known]
    if lacking and (not isinstance(given, str) or len(lacking) == len(wanted)):
        raise DataError(
            f"options.new: no {lacking[0]!r} in the data; {did_you_mean(lacking[0], known)}"
        )
    return wanted


def _placed(example: Example, recipe: Recipe, half: str, own: tuple[str, ...]) -> Example:
    """The example with its question and half; of classification, with the labels it is offered."""
    placed = replace(example, question=_asked(recipe, example), meta={**example.meta, "half": half})
    if not tasks.by_name(recipe.task).labels:
        return placed
    share = shots.FEW_SHOT if half == "all" else shots.BASE_TO_NEW
    choices = shots.offered(own, example, recipe.data.choices, recipe.seed, share)
    return replace(placed, choices=choices, labels=own)


def _asked(recipe: Recipe, example: Example) -> str:
    """The recipe's question, if it has one, with what only the example knows filled in."""
    if not recipe.data.question:
        return example.question
    known = {
        "label": "" if tasks.by_name(recipe.task).labels else example.category,
        "phrase": example.meta.get("phrase", ""),
        "question": example.question,
    }
    question = recipe.data.question
    for name, value in known.items():
        question = question.replace(f"{{{name}}}", value)
    return question


def _hierarchy(recipe: Recipe, known: Sequence[str]) -> Hierarchy:
    """The coarser classes and aliases of the labels. Raises DataError if a label has no row."""
    if not isinstance(recipe.options, LabelOptions) or not recipe.options.names:
        return Hierarchy({}, {})
    name = recipe.options.names
    hierarchy = read_hierarchy(name)
    if lacking := [label for label in known if label not in hierarchy.aliases]:
        raise DataError(
            f"options.names: {name} has no row for {len(lacking)} of the {len(known)} labels, such "
            f"as {lacking[0]!r}; add a row for each, spelled as in the data"
        )
    return hierarchy
