"""What `rftkit check` looks at: everything about a recipe that needs no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rftkit.core import Completion, Example
from rftkit.data.duplicates import Pair, Print, fingerprint, one_each, overlap, two_labels
from rftkit.data.examples import Examples
from rftkit.data.gold_check import load_checked_splits, load_checked_test
from rftkit.data.rationales import rationale_notes
from rftkit.data.reply_budget import budget_notes
from rftkit.measures.values import Measure
from rftkit.metrics import summarise
from rftkit.metrics.samples import Header, SamplesFile
from rftkit.metrics.scoring import sample_of
from rftkit.preflight.box_notes import box_notes
from rftkit.recipe.schema import Recipe
from rftkit.tasks import get_task

IMAGES_OPENED = 2000  # of each split; more are not looked at, and the check says so
NO_TRAINING = (
    "no training split is named, so only {!r} was checked; test with it: "
    "rftkit eval --ckpt RUN --data RECIPE"
)


@dataclass(frozen=True)
class Checked:
    """What was found. Every row's gold answer earned full marks, or there would be no result."""

    recipe: Recipe
    training: Examples
    held_out: Examples
    prompt: str
    ideal: str
    rewards: dict[str, float]
    sizes: tuple[tuple[int, int], ...]
    opened: int
    notes: tuple[str, ...]
    metrics: tuple[Measure, ...]  # of the gold answers: the best that a model can get
    copies: tuple[Pair, ...]

    @property
    def shown(self) -> Example:
        """The example whose prompt and ideal reply are shown: the first one."""
        return _first(self.training, self.held_out)

    @property
    def per_class(self) -> dict[str, tuple[int, int]]:
        """Training and held-out images of each class."""
        ours, theirs = (_counts(part.examples) for part in (self.training, self.held_out))
        labels = dict.fromkeys([*self.training.labels, *self.held_out.labels])
        return {label: (ours[label], theirs[label]) for label in labels}


def check(recipe: Recipe) -> Checked:
    """Load the rows, hold every gold answer against the rewards, look at the images.

    Of a recipe without a training split the held-out one alone, and `notes` says so.
    Raises UserError at the first thing that would stop a run.
    """
    only_tests = not recipe.data.train_split
    training, held_out = (
        (Examples((), ()), load_checked_test(recipe)) if only_tests else load_checked_splits(recipe)
    )
    task = get_task(recipe.task)
    ours, theirs = (
        [fingerprint(e) for e in one_each(part.examples)[:IMAGES_OPENED]]
        for part in (training, held_out)
    )
    shown = _first(training, held_out)
    ideal = task.ideal(shown, recipe.style)
    attempt = task.attempt(shown, recipe.style, Completion(ideal))
    return Checked(
        recipe=recipe,
        training=training,
        held_out=held_out,
        prompt=task.prompt(shown, recipe.style),
        ideal=ideal,
        rewards=task.rewards_of(attempt, recipe.rules),
        sizes=tuple(mark.size for mark in (*ours, *theirs)),
        opened=len(ours) + len(theirs),
        notes=(
            *([NO_TRAINING.format(recipe.data.test_split)] if only_tests else []),
            *_notes(recipe.task, training, held_out, [*ours, *theirs]),
            *recipe.notes(),
            *rationale_notes(recipe, training.examples),
            *budget_notes(recipe, training=training.examples, test=held_out.examples),
            *box_notes(recipe.model, (*training.examples, *held_out.examples)),
        ),
        metrics=gold_metrics(recipe, held_out.examples),
        copies=overlap(ours, theirs),
    )


def gold_metrics(recipe: Recipe, examples: Sequence[Example]) -> tuple[Measure, ...]:
    """The task's metrics if every reply were the gold answer, rounded as text rounds it."""
    task = get_task(recipe.task)
    header = Header(task=recipe.task, style=recipe.style, expected=len(examples))
    samples = [
        sample_of(example, Completion(task.ideal(example, recipe.style)), header, "tuned")
        for example in examples
    ]
    tuned = summarise(SamplesFile(header, tuple(samples))).tuned
    return () if tuned is None else tuned.metrics


def _notes(
    task: str, training: Examples, held_out: Examples, prints: Sequence[Print]
) -> tuple[str, ...]:
    counts = Counter(mark.note for mark in prints if mark.note)
    total = sum(len(one_each(part.examples)) for part in (training, held_out))
    labels = get_task(task).predicts_labels
    return (
        *dict.fromkeys((*training.notes, *held_out.notes)),
        *(f"{count} images: {note}" for note, count in counts.items()),
        *(
            f"{pair.first.id} and {pair.second.id} are one image under two labels"
            for pair in (two_labels(prints) if labels else ())
        ),
        *([f"{len(prints)} of {total} images were opened"] if len(prints) < total else []),
    )


def _first(training: Examples, held_out: Examples) -> Example:
    return (*training.examples, *held_out.examples)[0]


def _counts(examples: Iterable[Example]) -> Counter[str]:
    return Counter(example.category for example in examples)
