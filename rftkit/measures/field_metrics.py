"""What the field reports of extraction: accuracy by field, documents without a fault, F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rftkit.answers.field_marks import Marks, all_right, fits_schema, gold_object, marked
from rftkit.answers.field_schema import load_fields
from rftkit.measures.rates import rate
from rftkit.measures.values import Measure


class Extraction(NamedTuple):
    """A document's fields (a text of `dump_fields`), its gold object, and an answer or None."""

    fields: str
    gold: str
    answer: str | None


def measure_fields(documents: Sequence[Extraction]) -> tuple[Measure, ...]:
    """The fraction right in all fields, valid JSON, fitting the schema, F1, each field's accuracy.

    A field that neither document nor reply fills in is right, and counts in no F1.
    """
    names, perfect, objects, fitting = list[str](), list[float](), list[float](), list[float]()
    all_marks = list[Marks | None]()
    for one in documents:
        fields = load_fields(one.fields)
        names += [field.name for field in fields]
        made = marked(fields, one.gold, one.answer)
        all_marks.append(made)
        objects.append(float(made is not None))
        perfect.append(float(made is not None and all_right(made)))
        fitting.append(float(made is not None and fits_schema(fields, made)))
    right = [made.right if made else frozenset[str]() for made in all_marks]
    return (
        Measure.of("all_fields_exact", rate(perfect)),
        Measure.of("valid_json", rate(objects)),
        Measure.of("valid_schema", rate(fitting)),
        _f1([one.gold for one in documents], all_marks),
        *(
            Measure.of("field_accuracy", rate([float(name in one) for one in right]), name)
            for name in dict.fromkeys(names)
        ),
    )


def _f1(golds: Sequence[str], all_marks: Sequence[Marks | None]) -> Measure:
    """Micro F1: fields that are right, of those that the documents and the replies fill in."""
    right = filled = given = 0
    for gold, made in zip(golds, all_marks, strict=True):
        expected = Marks({}, gold_object(gold), {}, 0).filled
        filled += len(expected)
        if made is not None:
            given += len(made.given)
            right += len(expected & made.right)
    value = 2 * right / (filled + given) if filled + given else None
    return Measure(name="field_f1", value=value, n=filled)
