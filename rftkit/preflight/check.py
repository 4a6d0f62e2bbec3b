"""What `rftkit check` looks at: everything about a recipe that needs no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rftkit.core import Attempt, Completion, Example
from rftkit.data.duplicates import Pair, Print, one_each, overlap
from rftkit.data.examples import Examples, load_examples
from rftkit.data.gold_check import gold_faults, with_gold_check
from rftkit.data.rationales import rationale_notes
from rftkit.data.read_cache import ReadCache
from rftkit.data.reply_budget import budget_notes
from rftkit.errors import DataError, GatheredError, HubError, RecipeError, TrainingError
from rftkit.measures.values import Measure
from rftkit.metrics import summarise
from rftkit.metrics.samples import Header, SamplesFile
from rftkit.metrics.scoring import sample_of
from rftkit.preflight.box_notes import box_notes
from rftkit.preflight.images import Seen, opened
from rftkit.preflight.model_notes import model_notes
from rftkit.preflight.suspects import imbalance_notes, label_notes, size_notes
from rftkit.recipe.schema import CUSTOM_REWARD, Recipe
from rftkit.rewards.custom import load_reward
from rftkit.tasks import get_task

NO_TRAINING = (
    "no training split is named, so only {!r} was checked; test with it: "
    "rftkit eval --ckpt RUN --data RECIPE"
)
NOTHING = Examples((), ())


@dataclass(frozen=True)
class Checked:
    """What was found.

    problems: a line for each thing that would stop a run or spoil it. rewards: of the gold answer
    of the example that is shown, those that count in this recipe. opened: images that were looked
    at. metrics: of the gold answers, the best that a model can get. choosing: images of the
    validation split.
    """

    recipe: Recipe
    training: Examples
    held_out: Examples
    prompt: str
    ideal: str
    rewards: dict[str, float]
    sizes: tuple[tuple[int, int], ...]
    opened: int
    notes: tuple[str, ...]
    metrics: tuple[Measure, ...]
    copies: tuple[Pair, ...]
    problems: tuple[str, ...] = ()
    choosing: int = 0

    @property
    def shown(self) -> Example | None:
        """The example whose prompt and ideal reply are shown: the first one."""
        return next(iter((*self.training.examples, *self.held_out.examples)), None)

    @property
    def per_class(self) -> dict[str, tuple[int, int]]:
        """Training and held-out images of each class."""
        ours, theirs = (_counts(part.examples) for part in (self.training, self.held_out))
        labels = dict.fromkeys([*self.training.labels, *self.held_out.labels])
        return {label: (ours[label], theirs[label]) for label in labels}


Bar = Callable[[int], Seen]  # how many images there are -> what is called after each


def check(recipe: Recipe, bar: Bar = lambda _: lambda: None) -> Checked:
    """Load the rows, hold every gold answer against the rewards, look at every image.

    Goes on past what is wrong, and names all of it in `problems`. Of a recipe without a training
    split the held-out one alone is checked, and `notes` says so. Raises HubError if the data cannot
    be reached.
    """
    problems, cache = list[str](), ReadCache()
    training, held_out = (_loaded(recipe, name, cache, problems) for name in recipe.data.splits)
    choosing = _loaded(recipe, recipe.eval.validation, cache, problems)
    parts = [one_each(part.examples) for part in (training, held_out, choosing)]
    images = sum(map(len, parts))
    seen = bar(images)
    ours, theirs, between = (opened(part, seen) for part in parts)
    problems += [*ours.broken, *theirs.broken, *between.broken]
    prints = (*ours.prints, *theirs.prints)
    shown = next(iter((*training.examples, *held_out.examples)), None)
    return Checked(
        recipe=recipe,
        training=training,
        held_out=held_out,
        prompt=get_task(recipe.task).prompt(shown, recipe.style) if shown else "",
        ideal=get_task(recipe.task).ideal(shown, recipe.style) if shown else "",
        rewards=_rewards(recipe, shown, problems),
        sizes=tuple(mark.size for mark in prints),
        opened=len(prints) + len(between.prints),
        choosing=len(parts[2]),
        notes=_notes(recipe, (training, held_out), prints, images),
        metrics=gold_metrics(recipe, held_out.examples),
        copies=overlap(ours.prints, theirs.prints),
        problems=tuple(dict.fromkeys(problems)),
    )


def gold_metrics(recipe: Recipe, examples: Sequence[Example]) -> tuple[Measure, ...]:
    """The task's metrics if every reply were the gold answer, rounded as text rounds it."""
    task = get_task(recipe.task)
    header = Header(task=recipe.task, style=recipe.style, expected=len(examples))
    samples = [
        sample_of(example, Completion(task.ideal(example, recipe.style)), header, "tuned")
        for example in examples
    ]
    tuned = summarise(SamplesFile(header, tuple(samples))).tuned if samples else None
    return () if tuned is None else tuned.metrics


def _loaded(recipe: Recipe, split: str, cache: ReadCache, problems: list[str]) -> Examples:
    """A split, after the gold check; empty where it has no name, or its rows cannot be read."""
    if not split:
        return NOTHING
    limit = recipe.eval.limit if split == recipe.data.test_split else 0
    try:
        found = load_examples(recipe, split, limit=limit, cache=cache)
    except GatheredError as error:
        problems += error.faults
        return NOTHING
    except HubError:
        raise
    except DataError as error:
        problems.append(str(error))
        return NOTHING
    faults = gold_faults(recipe, found)
    problems += faults
    return found if faults else with_gold_check(recipe, found, split, recipe.style)


def _rewards(recipe: Recipe, shown: Example | None, problems: list[str]) -> dict[str, float]:
    """What the gold answer earns by each reward that counts, those of the user's among them.

    A reward of the user's that is missing, raises, or returns no number becomes a problem.
    """
    own = dict[str, float]()
    task = get_task(recipe.task)
    attempt = _ideal(recipe, shown) if shown else None
    for name in recipe.active_rewards:
        if CUSTOM_REWARD.fullmatch(name):
            try:
                reward = load_reward(name)
                own[name.rpartition(":")[2]] = reward(attempt) if attempt else 0.0
            except (RecipeError, TrainingError) as error:
                problems.append(str(error))
    if attempt is None:
        return {}
    given = task.rewards_of(attempt, recipe.rules)
    weights = recipe.active_rewards
    return {**{name: given[name] for name in given if weights.get(name)}, **own}


def _ideal(recipe: Recipe, shown: Example) -> Attempt:
    task = get_task(recipe.task)
    return task.attempt(shown, recipe.style, Completion(task.ideal(shown, recipe.style)))


def _notes(
    recipe: Recipe, parts: tuple[Examples, Examples], prints: Sequence[Print], images: int
) -> tuple[str, ...]:
    training, held_out = parts
    counts = Counter(mark.note for mark in prints if mark.note)
    labels = training.labels if get_task(recipe.task).predicts_labels else ()
    return (
        *([] if recipe.data.train_split else [NO_TRAINING.format(recipe.data.test_split)]),
        *dict.fromkeys((*training.notes, *held_out.notes)),
        *(f"{count} images: {note}" for note, count in counts.items()),
        *(label_notes(prints, labels) if labels else ()),
        *imbalance_notes(training.examples),
        *size_notes(len(one_each(held_out.examples))),
        *([f"{len(prints)} of {images} images were opened"] if len(prints) < images else []),
        *recipe.notes(),
        *model_notes(recipe.model),
        *rationale_notes(recipe, training.examples),
        *budget_notes(recipe, training=training.examples, test=held_out.examples),
        *box_notes(recipe.model, _readable(parts, prints)),
    )


def _readable(parts: Iterable[Examples], prints: Sequence[Print]) -> list[Example]:
    names = {mark.example.image.name for mark in prints}
    return [e for part in parts for e in part.examples if e.image.name in names]


def _counts(examples: Iterable[Example]) -> Counter[str]:
    return Counter(example.category for example in examples)
