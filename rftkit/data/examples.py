"""From a recipe to the examples of a split: classes, halves, shots, questions, offered labels.

What happens to a recipe with `classes = "base"` and `shots = 1`, whose training split holds two
images each of cat, cow and dog, and whose test split one each of cat, cow, dog and emu:

    classes of the data    cat, cow, dog, emu    of both splits, because they are halved
    base half, new half    cat, cow | dog, emu   the same for every split
    training split         1 cat, 1 cow          each is offered the labels "cat, cow"
    test split             1 of each             offered "cat, cow" (base) or "dog, emu" (new)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rftkit import tasks
from rftkit.core import Example
from rftkit.data import shots
from rftkit.data.box_grid import with_grids
from rftkit.data.hierarchies import Hierarchy, read_hierarchy
from rftkit.data.hierarchies.credit import credit_table
from rftkit.data.read_cache import ReadCache
from rftkit.data.read_split import SplitExamples, as_known, check_spellings, read_split
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.recipe.schema import Recipe
from rftkit.tasks.annotated import chosen_categories
from rftkit.tasks.options import DetectionOptions, LabelOptions, Names

ClassesByHalf = Mapping[str, tuple[str, ...]]  # "base" and "new", or "all" -> its sorted classes


@dataclass(frozen=True)
class Examples:
    """What a run trains or is tested on.

    labels: every label or category of the data set, sorted. notes: what a person should know of
    the data. levels: coarser classes, level -> label -> class of that level. images: how many
    images are used, and how many are there.
    """

    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: tuple[int, ...] = ()


def load_examples(
    recipe: Recipe,
    split: str,
    *,
    limit: int = 0,
    labels: Sequence[str] = (),
    cache: ReadCache | None = None,
) -> Examples:
    """The examples of a split, by its name: the training one is `recipe.data.train_split`.

    The training split is filtered to `data.classes` and drawn to `data.shots`. Any other keeps
    all classes; `meta["half"]` is "base", "new" or "all", and an example is offered labels of its
    own half only. limit: at most so many images, evenly by label where there are labels. labels:
    the known labels, where the data has no training split to take them from. cache: shares what is
    read with the other splits of one command. Images are not decoded; of those with boxes the
    header is read.
    """
    cache = cache or ReadCache()
    return _prepare_split(recipe, split, _read(recipe, split, labels, cache), limit)


def load_undivided(
    recipe: Recipe, *, limit: int = 0, labels: Sequence[str] = (), cache: ReadCache | None = None
) -> Examples:
    """The test split of data that nothing was trained on; all of it where it names no split.

    The arguments are those of `load_examples`.
    """
    cache, split = cache or ReadCache(), recipe.data.test_split
    read = _read(recipe, split, labels, cache)
    if not (held_out_note := read.own.held_out_note):
        return _prepare_split(recipe, split, read, limit)
    rest = read_split(recipe, recipe.data.train_split, cache, as_test=True)
    whole = read._replace(own=_joined(read.own, rest), class_splits=[*read.class_splits, rest])
    examples = _prepare_split(recipe, split, whole, limit)
    return replace(examples, notes=tuple(note for note in examples.notes if note != held_out_note))


class _Read(NamedTuple):
    """own: the split. class_splits: those that define the classes. labels: known ones besides."""

    own: SplitExamples
    class_splits: Sequence[SplitExamples]
    labels: Sequence[str]


def _read(recipe: Recipe, split: str, labels: Sequence[str], cache: ReadCache) -> _Read:
    own = read_split(recipe, split, cache)
    class_splits = [
        read_split(recipe, name, cache) for name in _class_splits(recipe, split, labels)
    ]
    if labels and tasks.get_task(recipe.task).predicts_labels:
        own, *class_splits = (as_known(part, labels) for part in (own, *class_splits))
    return _Read(own, class_splits, labels)


def _joined(test: SplitExamples, rest: SplitExamples) -> SplitExamples:
    """Both parts of data that a fixed seed divided, by id, as if nobody had."""
    examples = sorted((*test.examples, *rest.examples), key=lambda example: example.id)
    label_ids = {**test.label_ids, **rest.label_ids}
    return SplitExamples(tuple(examples), label_ids, (*test.notes, *rest.notes))


def _prepare_split(recipe: Recipe, split: str, read: _Read, limit: int) -> Examples:
    """The examples with half, question, labels, grid and aliases; training ones are drawn."""
    own, class_splits, labels = read
    classes = _classes(recipe, own, class_splits, labels)
    halves = _halves(recipe, classes, _label_ids([*class_splits, own]))
    half_of = {name: half for half, names in halves.items() for name in names}
    examples = there = own.examples
    if split == recipe.data.train_split:
        there = tuple(e for e in examples if half_of[e.category] == recipe.data.classes)
        examples = _drawn(recipe, there)
    hierarchy = _hierarchy(recipe, classes)
    prepared = with_grids(
        recipe.model,
        (
            _prepare_example(example, recipe, half_of[example.category], halves)
            for example in limited(recipe, examples, limit)
        ),
    )
    if aliases := hierarchy.spellings:
        prepared = tuple(replace(example, aliases=aliases) for example in prepared)
    if credits_of := credit_table(recipe.options, hierarchy, classes):
        prepared = tuple(
            replace(example, credits=credits_of.get(example.gold, {})) for example in prepared
        )
    notes = dict.fromkeys(note for part in (own, *class_splits) for note in part.notes)
    images = tuple(len({e.image.name for e in some}) for some in (prepared, there))
    drawn = split == recipe.data.train_split
    unused = shots.unused_notes(recipe.data.shots, images) if drawn else []
    shown = _shown_classes(recipe, classes, own)
    return Examples(prepared, shown, (*notes, *unused), hierarchy.levels, images)


def limited(recipe: Recipe, examples: Sequence[Example], limit: int) -> tuple[Example, ...]:
    """At most `limit` images, evenly by label where there are labels, with all their prompts."""
    picked = shots.spread if tasks.get_task(recipe.task).predicts_labels else shots.spread_images
    return picked(examples, limit)


def _class_splits(recipe: Recipe, split: str, labels: Sequence[str]) -> list[str]:
    """The splits whose examples say which classes there are.

    Halves are those of both splits together, so that they are the same for each: new classes need
    not be in the training split. Else labels are those of the training split, and categories, as
    objects of a kind may be in one split only, those of the split itself.
    """
    data, halved = recipe.data, recipe.data.classes != "all"
    if not tasks.get_task(recipe.task).predicts_labels:
        names = [data.train_split, data.test_split] if halved else [split]
    elif labels and split != data.train_split:
        names = [split] if halved else []
    else:
        names = [data.train_split or split, data.test_split if halved else ""]
    return [name for name in dict.fromkeys(names) if name]


def _classes(
    recipe: Recipe, own: SplitExamples, class_splits: Sequence[SplitExamples], labels: Sequence[str]
) -> tuple[str, ...]:
    """The labels or categories of the data, sorted. Raises DataError where they cannot be right.

    That is for labels that read the same, an example of another class, and a single label.
    """
    if not tasks.get_task(recipe.task).predicts_labels:
        classes = {example.category for part in class_splits for example in part.examples}
        _check_known(recipe, "category", own, classes)
        return tuple(sorted(classes))
    classes = {*labels, *(example.gold for part in class_splits for example in part.examples)}
    places = dict.fromkeys(labels, "")
    for example in (example for part in (*class_splits, own) for example in part.examples):
        places[example.gold] = places.get(example.gold) or example.location
    check_spellings("labels", places)
    _check_known(recipe, "label", own, classes)
    if len(classes) < 2:
        raise DataError(
            f"one class only: {min(classes)!r}; there is nothing to tell apart, add one"
        )
    return tuple(sorted(classes))


def _check_known(recipe: Recipe, kind: str, own: SplitExamples, classes: set[str]) -> None:
    """Raises DataError for an example whose class the class splits do not have."""
    where = "training split" if recipe.data.classes == "all" else "training and the test split"
    for example in own.examples:
        if example.category not in classes:
            raise DataError(
                f"{example.location}: {kind} {example.category!r} is not among the {len(classes)} "
                f"of the {where}; add images of it there or take it out here"
            )


def _label_ids(splits: Sequence[SplitExamples]) -> dict[str, int]:
    return {name: number for part in splits for name, number in part.label_ids.items()}


def _halves(
    recipe: Recipe, classes: tuple[str, ...], label_ids: Mapping[str, int]
) -> ClassesByHalf:
    """The classes of each half: as the recipe names the new ones, else as CoOp divides them."""
    if recipe.data.classes == "all":
        return {"all": classes}
    if isinstance(recipe.options, DetectionOptions) and recipe.options.new:
        new = _new_categories(recipe.options.new, classes)
        return {
            "base": tuple(name for name in classes if name not in new),
            "new": tuple(name for name in classes if name in new),
        }
    halves = shots.base_new(classes, label_ids if set(classes) <= set(label_ids) else None)
    return {"base": tuple(sorted(halves.base)), "new": tuple(sorted(halves.new))}


def _new_categories(new: Names, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The categories of `options.new`; a list by name may hold some that the data has not.

    Raises DataError for one that was spelled out and is not there, and for a list of none that is.
    """
    wanted = chosen_categories(new)
    lacking = [name for name in wanted if name not in classes]
    if lacking and (not isinstance(new, str) or len(lacking) == len(wanted)):
        raise DataError(
            f"options.new: no {lacking[0]!r} in the data; {did_you_mean(lacking[0], classes)}"
        )
    return wanted


def _drawn(recipe: Recipe, examples: Sequence[Example]) -> tuple[Example, ...]:
    """The shots of the half that is trained on. Raises DataError if it has no examples."""
    if not examples:
        raise DataError(
            f"data.classes: {recipe.data.classes!r} has nothing to train on in "
            f'{recipe.data.train_split!r}; set it to "all", or add images'
        )
    return shots.draw_shots(examples, recipe.data.shots, recipe.seed)


def _shown_classes(recipe: Recipe, classes: tuple[str, ...], own: SplitExamples) -> tuple[str, ...]:
    """The classes that have a name; of categories asked for all at once, those in the prompts."""
    if isinstance(recipe.options, DetectionOptions) and recipe.options.ask == "picture":
        return tuple(sorted({name for example in own.examples for name in example.choices}))
    return tuple(name for name in classes if name)


def _prepare_example(example: Example, recipe: Recipe, half: str, halves: ClassesByHalf) -> Example:
    """The example with its question and half; of classification, with the labels it is offered."""
    question = _question(recipe, example)
    prepared = replace(example, question=question, meta={**example.meta, "half": half})
    if not tasks.get_task(recipe.task).predicts_labels:
        return prepared
    share = shots.FEW_SHOT if half == "all" else shots.BASE_TO_NEW
    offered = shots.offered(halves[half], example, recipe.data.choices, recipe.seed, share)
    return replace(prepared, choices=offered, labels=halves[half])


def _question(recipe: Recipe, example: Example) -> str:
    """The recipe's question, if it has one, with what only the example knows filled in."""
    if not recipe.data.question:
        return example.question
    values = {
        "label": "" if tasks.get_task(recipe.task).predicts_labels else example.category,
        "phrase": example.meta.get("phrase", ""),
        "question": example.question,
    }
    question = recipe.data.question
    for name, value in values.items():
        question = question.replace(f"{{{name}}}", value)
    return question


def _hierarchy(recipe: Recipe, labels: Sequence[str]) -> Hierarchy:
    """The coarser classes and aliases of the labels. Raises DataError if a label has no row."""
    if not isinstance(recipe.options, LabelOptions) or not recipe.options.names:
        return Hierarchy({}, {})
    name = recipe.options.names
    hierarchy = read_hierarchy(name)
    if lacking := [label for label in labels if label not in hierarchy.aliases]:
        raise DataError(
            f"options.names: {name} has no row for {len(lacking)} of the {len(labels)} labels, "
            f"such as {lacking[0]!r}; add a row for each, spelled as in the data"
        )
    return hierarchy
