"""What a reply that reads a document earns: field by field, and for the whole object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from rftkit.answers.field_schema import Field
from rftkit.answers.field_values import Object, has_type, read_object, score

NOTHING: tuple[object, ...] = (None, [])  # what a document does not say


class Marks(NamedTuple):
    """An object beside its gold. scores: by field, in [0, 1]. extra: keys that are no field."""

    scores: Mapping[str, float]
    gold: Mapping[str, object]
    answer: Mapping[str, object]
    extra: int

    @property
    def right(self) -> frozenset[str]:
        """The fields that are right, those that neither document nor reply fills in among them."""
        return frozenset(name for name, one in self.scores.items() if one == 1.0)

    @property
    def filled(self) -> frozenset[str]:
        """The fields that the document fills in."""
        return frozenset(name for name, value in self.gold.items() if value not in NOTHING)

    @property
    def given(self) -> frozenset[str]:
        """The keys that the reply fills in, whether they are fields or not."""
        return frozenset(name for name, value in self.answer.items() if value not in NOTHING)


@lru_cache(maxsize=4096)
def gold_object(gold: str) -> Object:
    """The object of a gold text."""
    value = json.loads(gold)
    assert isinstance(value, dict)
    return value


def marked(fields: Sequence[Field], gold: str, answer: str | None) -> Marks | None:
    """What each field of an answer earns; None if it is not one JSON object."""
    found = None if answer is None else read_object(answer)
    if found is None:
        return None
    expected = gold_object(gold)
    scores = {one.name: _agreed(one, expected[one.name], found.get(one.name)) for one in fields}
    return Marks(scores, expected, found, len(found.keys() - scores.keys()))


def mean_score(fields: Sequence[Field], made: Marks) -> float:
    """The weighted mean score of the fields that the document or the reply fills in, in [0, 1].

    Every key that is no field counts as a field that is wrong: what is left out costs, and so does
    what is made up. Nothing to read and nothing read: 1.
    """
    counted = [one for one in fields if one.name in made.filled | made.given]
    earned = sum(one.weight * made.scores[one.name] for one in counted)
    weights = sum(one.weight for one in counted) + made.extra
    return earned / weights if weights else 1.0


def all_right(made: Marks) -> bool:
    """Whether every field is right, and there is no other key."""
    return not made.extra and len(made.right) == len(made.scores)


def fits_schema(fields: Sequence[Field], made: Marks) -> bool:
    """Whether every field is there, of its type, and no other key."""
    answer = made.answer
    typed = all(one.name in answer and has_type(one, answer[one.name]) for one in fields)
    return typed and not made.extra


def _agreed(field: Field, gold: object, value: object) -> float:
    if gold in NOTHING or value in NOTHING:
        return float(gold in NOTHING and value in NOTHING)
    return score(field, gold, value)
