"""From a recipe to the examples of a split: rows, labels, halves, shots, offered labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rftkit import data as sources
from rftkit import labels as spelling
from rftkit import tasks
from rftkit.core import Completion, Example, Style
from rftkit.data import shots
from rftkit.errors import DataError
from rftkit.recipe import Data, Recipe
from rftkit.tasks.task import Task


@dataclass(frozen=True)
class Examples:
    """What a run trains or is tested on.

    labels: every label of the data set, sorted. notes: what a person should know of the data.
    """

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Split:
    """A split as it was read, without repeats; ids: the label ids of a CoOp split file."""

    examples: tuple[Example, ...]
    ids: Mapping[str, int]
    notes: tuple[str, ...]


def load_examples(
    recipe: Recipe, split: str, *, limit: int = 0, labels: Sequence[str] | None = None
) -> Examples:
    """The examples of a split, by its name: the training one is `recipe.data.splits[0]`.

    The training split is filtered to `data.classes` and drawn to `data.shots`. Any other keeps
    all classes; `meta["half"]` is "base", "new" or "all", and an example is offered labels of its
    own half only. limit: at most so many, evenly by class. labels: the known labels, where the
    data has no training split to learn them from. No picture is opened.
    """
    train = recipe.data.splits[0]
    found = _read(recipe, split)
    learnt = found if split == train else None if labels else _read(recipe, train)
    others = () if learnt is None or learnt is found else learnt.notes
    known = _known_labels(recipe, found, learnt, labels)
    ids = {**(learnt.ids if learnt else {}), **found.ids}
    groups = _groups(recipe.data, known, ids)
    half_of = {label: half for half, own in groups.items() for label in own}
    chosen = found.examples
    if split == train:
        wanted = [example for example in chosen if half_of[example.gold] == recipe.data.classes]
        chosen = shots.draw_shots(wanted, recipe.data.shots, recipe.seed)
    placed = tuple(
        _placed(example, recipe, half := half_of[example.gold], groups[half])
        for example in shots.spread(chosen, limit)
    )
    return Examples(placed, known, tuple(dict.fromkeys([*found.notes, *others])))


def load_both(recipe: Recipe) -> tuple[Examples, Examples]:
    """The training and the held-out examples; every gold answer has earned full marks."""
    first, second = recipe.data.splits
    training = load_examples(recipe, first)
    held_out = load_examples(recipe, second, limit=recipe.eval.limit)
    for example in (*training.examples, *held_out.examples):
        gold_check(tasks.by_name(recipe.task), example, recipe.style)
    return training, held_out


def gold_check(task: Task, example: Example, style: Style) -> None:
    """Raises DataError if the example's own answer, in this style, earns less than full marks."""
    ideal = task.ideal(example, style)
    for name, value in task.parts(task.attempt(example, style, Completion(ideal))).items():
        if value != 1.0:
            raise DataError(
                f"{example.place}: its own answer {example.gold!r} earns {name} {value:g}, not 1, "
                f"in style {style!r}; mend the label or the rationale"
            )


def _read(recipe: Recipe, split: str) -> _Split:
    task, notes = tasks.by_name(recipe.task), list[str]()
    columns = {str(role): name for role, name in recipe.data.columns.items()}
    found: dict[str, Example] = {}
    ids: dict[str, int] = {}
    repeats = 0
    for row in sources.rows(recipe.data, split, notes.append):
        example = task.read(row, columns)
        if (before := found.setdefault(example.id, example)) is not example:
            _check_repeat(before, example)
            repeats += 1
        if recipe.data.coop_split and isinstance(number := row.values.get("label_id"), int):
            ids[example.gold] = number
    if not found:
        raise DataError(f"{recipe.data.path or recipe.data.source}: split {split!r} is empty")
    if repeats:
        notes.append(f"split {split!r}: {repeats} rows repeat a picture and its label; kept once")
    return _Split(tuple(found.values()), ids, tuple(notes))


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
        splits = [_read(recipe, recipe.data.splits[1])] if found is learnt else [found]
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


def _groups(
    data: Data, known: tuple[str, ...], ids: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """The sorted labels of each half, or of "all"."""
    if data.classes == "all":
        return {"all": known}
    halves = shots.base_new(known, ids if set(known) <= set(ids) else None)
    return {"base": tuple(sorted(halves.base)), "new": tuple(sorted(halves.new))}


def _placed(example: Example, recipe: Recipe, half: str, own: tuple[str, ...]) -> Example:
    """The example with its question, the labels of its half, and those it is offered."""
    share = shots.FEW_SHOT if half == "all" else shots.BASE_TO_NEW
    return replace(
        example,
        question=recipe.data.question or example.question,
        choices=shots.offered(own, example, recipe.data.choices, recipe.seed, share),
        labels=own,
        meta={**example.meta, "half": half},
    )
