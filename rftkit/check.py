"""What `rftkit check` looks at: everything about a recipe that needs no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rftkit.core import Completion, Example
from rftkit.data.examples import Examples, load_both
from rftkit.data.overlap import Pair, Print, fingerprint, overlap, two_labels
from rftkit.recipe import Recipe
from rftkit.tasks import by_name

PICTURES_OPENED = 2000  # of each split; more are not looked at, and the check says so


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
    copies: tuple[Pair, ...]

    @property
    def per_class(self) -> dict[str, tuple[int, int]]:
        """Training and held-out pictures of each class."""
        ours, theirs = (_counts(part.examples) for part in (self.training, self.held_out))
        return {label: (ours[label], theirs[label]) for label in self.training.labels}


def check(recipe: Recipe) -> Checked:
    """Load the rows, hold every gold answer against the rewards, look at the pictures.

    Raises UserError at the first thing that would stop a run.
    """
    training, held_out = load_both(recipe)
    task = by_name(recipe.task)
    ours = [fingerprint(e) for e in training.examples[:PICTURES_OPENED]]
    theirs = [fingerprint(e) for e in held_out.examples[:PICTURES_OPENED]]
    shown = training.examples[0]
    ideal = task.ideal(shown, recipe.style)
    attempt = task.attempt(shown, recipe.style, Completion(ideal))
    return Checked(
        recipe=recipe,
        training=training,
        held_out=held_out,
        prompt=task.prompt(shown, recipe.style),
        ideal=ideal,
        rewards=task.parts(attempt, recipe.rules),
        sizes=tuple(mark.size for mark in (*ours, *theirs)),
        opened=len(ours) + len(theirs),
        notes=_notes(training, held_out, [*ours, *theirs]),
        copies=overlap(ours, theirs),
    )


def _notes(training: Examples, held_out: Examples, prints: Sequence[Print]) -> tuple[str, ...]:
    said = Counter(mark.note for mark in prints if mark.note)
    total = len(training.examples) + len(held_out.examples)
    return (
        *dict.fromkeys((*training.notes, *held_out.notes)),
        *(f"{count} pictures: {note}" for note, count in said.items()),
        *(
            f"{pair.first.id} and {pair.second.id} are one picture under two labels"
            for pair in two_labels(prints)
        ),
        *([f"{len(prints)} of {total} pictures were opened"] if len(prints) < total else []),
    )


def _counts(examples: Iterable[Example]) -> Counter[str]:
    return Counter(example.gold for example in examples)
