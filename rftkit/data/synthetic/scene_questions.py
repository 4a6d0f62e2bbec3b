"""What is asked about a scene: the columns of its row, for each kind of task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from rftkit.answers.boxes import LabelledBox
from rftkit.data.synthetic.digits import DIGITS
from rftkit.data.synthetic.scenes import SIDE, Place, Thing
from rftkit.tasks import choice, detection, fields, grounding, number

Kind = str  # the name of a task
OFFERED = 4  # options of a multiple choice
COUNT_ALL = "How many digits are in this picture?"
COUNT_ONE = "How many times is the digit {} in this picture?"
WHICH = "Which digit is {}?"
SEEN = "Which of these digits is in this picture?"

Values = dict[str, object]
T = TypeVar("T")


class Superlative(NamedTuple):
    """What may set one digit apart: least by `key`, by at least `margin`."""

    word: str
    key: Callable[[Place], int]
    margin: int


SUPERLATIVES = (
    Superlative("leftmost", lambda place: place.x1, 1),
    Superlative("rightmost", lambda place: -place.x2, 1),
    Superlative("highest", lambda place: place.y1, 1),
    Superlative("lowest", lambda place: -place.y2, 1),
    Superlative("largest", lambda place: -place.area, 6),
    Superlative("smallest", lambda place: place.area, 6),
)


def values(kind: Kind, things: Sequence[Thing], rng: np.random.Generator) -> Values:
    """The columns of a scene's row, the image aside: boxes, or a question and its answer."""
    row = {"size": f"{SIDE}x{SIDE}", "rationale": rationale(things)}
    return {**row, **ASK[kind](things, rng)}


def rationale(things: Sequence[Thing]) -> str:
    """What is there, from left to right: `from the left: 7, 3`."""
    order = sorted(things, key=_from_the_left)
    return f"from the left: {', '.join(thing.label for thing in order)}"


def apart(things: Sequence[Thing]) -> dict[str, Thing]:
    """The words that single out one of several things, and the thing: `leftmost`, `largest`."""
    by_position: dict[str, Thing] = {}
    for word, key, margin in SUPERLATIVES if len(things) > 1 else ():
        first, second = sorted(things, key=lambda thing: key(thing.place))[:2]
        if key(second.place) - key(first.place) >= margin:
            by_position[word] = first
    return by_position


def _boxes(things: Sequence[Thing], rng: np.random.Generator) -> Values:
    return {"objects": _objects(things), "categories": DIGITS}


def _phrase(things: Sequence[Thing], rng: np.random.Generator) -> Values:
    """A digit by its name, if it is there once only, or by what sets it apart."""
    labels = [thing.label for thing in things]
    named = {f"the {t.label}": t for t in things if labels.count(t.label) == 1}
    placed = {f"the {word} digit": thing for word, thing in apart(things).items()}
    both = [pair for pair in (("name", named), ("place", placed)) if pair[1]]
    category, phrases = _one_of(both or [("place", _first(things))], rng)
    phrase, thing = _one_of(list(phrases.items()), rng)
    return {"objects": _objects([thing]), "phrase": phrase, "category": category}


def _first(things: Sequence[Thing]) -> dict[str, Thing]:
    """Where nothing else sets one apart: the first in reading order."""
    return {"the first digit": min(things, key=lambda thing: (thing.place.y1, thing.place.x1))}


def _choice(things: Sequence[Thing], rng: np.random.Generator) -> Values:
    """Which digit stands where, or is there at all; the digits of the scene are offered first."""
    places = apart(things)
    if not places or rng.random() < 1 / 3:
        seen = things[int(rng.integers(len(things)))].label
        there = {thing.label for thing in things}
        wrong = [digit for digit in DIGITS if digit not in there]
        options = _options(seen, _some(wrong, OFFERED - 1, rng))
        reason = f"{rationale(things)}; offered: {seen}"
        return {"question": SEEN, "category": "presence", "rationale": reason, **options}
    word, thing = _one_of(list(places.items()), rng)
    near = list(dict.fromkeys(t.label for t in things if t.label != thing.label))
    far = [digit for digit in DIGITS if digit not in near and digit != thing.label]
    wrong = [*near, *_some(far, OFFERED - 1 - len(near), rng)]
    reason = f"{rationale(things)}; {word}: {thing.label}"
    asked = {"question": WHICH.format(word), "category": "place", "rationale": reason}
    return {**asked, **_options(thing.label, wrong)}


def _options(right: str, wrong: Sequence[str]) -> Values:
    return {"options": tuple(sorted([right, *wrong])), "answer": right}


def _number(things: Sequence[Thing], rng: np.random.Generator) -> Values:
    """How many digits there are, or how many of one kind, which is mostly there."""
    labels = [thing.label for thing in things]
    if rng.random() < 1 / 4:
        return {"question": COUNT_ALL, "answer": str(len(things)), "category": "all"}
    name = str(_one_of(labels if rng.random() < 2 / 3 else DIGITS, rng))
    question, answer = COUNT_ONE.format(name), str(labels.count(name))
    return {"question": question, "answer": answer, "category": "one"}


def _fields(things: Sequence[Thing], rng: np.random.Generator) -> Values:
    """How many digits there are, and which is the first and the last from the left."""
    order = [int(thing.label) for thing in sorted(things, key=_from_the_left)]
    read = {"digits": len(order), "first": order[0], "last": order[-1] if order[1:] else None}
    return {"answer": read, "category": f"{len(order)} digit{'s' if order[1:] else ''}"}


def _from_the_left(thing: Thing) -> tuple[int, int]:
    return thing.place.x1, thing.place.y1


def _objects(things: Sequence[Thing]) -> tuple[LabelledBox, ...]:
    return tuple(LabelledBox(thing.label, thing.place.box) for thing in things)


def _one_of(things: Sequence[T], rng: np.random.Generator) -> T:
    return things[int(rng.integers(len(things)))]


def _some(names: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return [names[int(n)] for n in rng.choice(len(names), count, replace=False)]


ASK: Mapping[Kind, Callable[[Sequence[Thing], np.random.Generator], Values]] = {
    detection.TASK.name: _boxes,
    grounding.TASK.name: _phrase,
    choice.TASK.name: _choice,
    number.TASK.name: _number,
    fields.TASK.name: _fields,
}
KINDS: tuple[Kind, ...] = tuple(ASK)
