"""Reading fields: one image of a document, one JSON object with what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rftkit.answers import field_marks, field_values, replies
from rftkit.answers.field_marks import NOTHING, Marks, gold_object
from rftkit.answers.field_schema import (
    Field,
    dump_fields,
    field_of,
    given_fields,
    json_schema,
    load_fields,
)
from rftkit.answers.field_values import Object
from rftkit.core import Attempt, Example, NoImage, Row, Style
from rftkit.errors import DataError, UserError
from rftkit.measures.field_metrics import Extraction, measure_fields
from rftkit.measures.values import Measure
from rftkit.messages import did_you_mean, in_short, missing_column
from rftkit.rewards.general import format_reward
from rftkit.tasks.options import FieldOptions
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled
from rftkit.tasks.reading import Reading
from rftkit.tasks.starter import Starter
from rftkit.tasks.task import TABLES, Scored, Task, Words

TYPED = 'write names and types, such as {"shop": "string", "total": "number?"}'
QUESTION = "Read the fields of this document."
SHAPE = "Answer with one JSON object that has these keys:"
NULLS = "Write null for what is not there."
KINDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "date": "a date as YYYY-MM-DD",
    "boolean": "true or false",
    "strings": "a list of texts",
}


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The one example of a row. Columns: `answer`, a JSON object, or one of each field; `category`.

    The gold answer is JSON with all the fields in the order of the recipe, dates as ISO 8601 has
    them. Raises DataError for a value that its field cannot have, and for a key that is no field.
    """
    options = reading.options
    assert isinstance(options, FieldOptions)
    values = _values(row, reading, tuple(options.fields))
    fields = options.document() or _likely(values, row)
    if other := next((key for key in values if key not in {one.name for one in fields}), None):
        hint = did_you_mean(other, [field.name for field in fields])
        raise DataError(f"{row.location}: {other[:60]!r} is no field of the recipe; {hint}")
    question = reading.value(row, "question")
    return (
        Example(
            id=reading.question_id(row),
            image=row.image,
            question=reading.text(row, "question") if question else QUESTION,
            gold=_gold(fields, values, row.location, options),
            rationale=reading.rationale(row),
            location=row.location,
            meta=_meta(dump_fields(fields), options),
            category=reading.cell(row, "category"),
            others=row.others,
        ),
    )


def _meta(fields: str, options: FieldOptions) -> dict[str, str]:
    return {"fields": fields, "structured": "yes"} if options.structured else {"fields": fields}


def _values(row: Row, reading: Reading, names: Sequence[str]) -> Object:
    """The object in the column `answer`, or what stands in the columns of the fields."""
    value = reading.value(row, "answer")
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        found = field_values.read_object(value)
        if found is None:
            raise DataError(f"{row.location}: answer {value[:60]!r} is not one JSON object; fix it")
        return {key: field_values.as_json(one) for key, one in found.items()}
    if isinstance(value, Mapping):
        return dict(value)
    there = {name: row.values[name] for name in names if name in row.values}
    if not there:
        column = reading.columns.get("answer", "answer")
        if value is not None:
            raise DataError(f"{row.location}: {column} {repr(value)[:60]} is not a JSON object")
        raise DataError(f"{row.location}: {missing_column('answer', column, row.values)}")
    return there


def _likely(values: Object, row: Row) -> tuple[Field, ...]:
    """The fields of an object without a recipe: as they come with it, or by its values' types."""
    if (given := row.values.get("fields")) is not None:
        try:
            return given_fields(given)
        except ValueError as error:
            raise DataError(f"{row.location}: fields: {error}; {TYPED}") from None
    kinds: dict[type, str] = {bool: "boolean", int: "number", float: "number", list: "strings"}
    try:
        return tuple(
            field_of(key, kinds.get(type(one), "string") + "?") for key, one in values.items()
        )
    except ValueError as error:
        raise DataError(f"{row.location}: gold: {error}") from None


def _gold(fields: Sequence[Field], values: Object, location: str, options: FieldOptions) -> str:
    gold = {}
    for field in fields:
        try:
            gold[field.name] = field_values.gold_value(field, values.get(field.name), options.dates)
        except ValueError as error:
            raise DataError(f"{location}: {field.name}: {error}") from None
    return json.dumps(gold, ensure_ascii=False)


def row(example: Example) -> dict[str, object]:
    """The object."""
    values: dict[str, object] = {"answer": example.gold}
    return {**values, "category": example.category} if example.category else values


def fields_of(example: Example) -> tuple[Field, ...]:
    """The fields that an example asks for. Raises DataError if it is of a file without them."""
    try:
        return load_fields(example.meta["fields"])
    except (KeyError, ValueError) as error:
        where = example.location or example.id
        raise DataError(
            f"{where}: its fields cannot be read ({in_short(error)}); evaluate it again"
        ) from None


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, each field and its type, the style."""
    fields = fields_of(example)
    nulls = [NULLS] if any(field.optional for field in fields) else []
    lines = [example.question, SHAPE, *map(_line, fields), *nulls]
    return "\n".join([*lines, replies.INSTRUCTIONS[style]])


def _line(field: Field) -> str:
    listed = ", ".join(json.dumps(value, ensure_ascii=False) for value in field.values)
    kind = KINDS.get(field.kind, f"one of {listed}")
    described = f" ({field.description})" if field.description else ""
    return f'- "{field.name}": {kind}{", or null" if field.optional else ""}{described}'


def schema(example: Example) -> str:
    """The JSON Schema of the answer, where the recipe wants replies to be held to it; else ""."""
    return json.dumps(json_schema(fields_of(example))) if "structured" in example.meta else ""


def parsed(attempt: Attempt) -> Object | None:
    """The object of the reply, as it is written; None if its answer is not one JSON object."""
    answer = attempt.reply.answer
    found = None if answer is None else field_values.read_object(answer)
    return None if found is None else {key: field_values.as_json(one) for key, one in found.items()}


def marks(attempt: Attempt) -> Marks | None:
    """What each field of the reply earns; None if its answer is not one JSON object."""
    example = attempt.example
    return field_marks.marked(fields_of(example), example.gold, attempt.reply.answer)


def field_score(attempt: Attempt) -> float:
    """The weighted mean score of the fields, in [0, 1]; 0 if the answer is not one JSON object."""
    made = marks(attempt)
    return 0.0 if made is None else field_marks.mean_score(fields_of(attempt.example), made)


def all_exact(attempt: Attempt) -> float:
    """1 if every field is right and there is no other key, else 0."""
    made = marks(attempt)
    return float(made is not None and field_marks.all_right(made))


def valid(attempt: Attempt) -> float:
    """1 if the answer is one JSON object with every field and no other key, all of their types."""
    made = marks(attempt)
    return float(made is not None and field_marks.fits_schema(fields_of(attempt.example), made))


def metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """The fraction right in all fields, valid JSON, F1 over fields, and accuracy of each field."""
    attempts = [one.attempt for one in scored]
    return measure_fields(
        [
            Extraction(one.example.meta["fields"], one.example.gold, one.reply.answer)
            for one in attempts
        ]
    )


def wrong_answers(example: Example) -> list[str]:
    """The same keys with other values, and no keys at all where there is something to read."""
    gold = gold_object(example.gold)
    other = {f.name: field_values.wrong_value(f, gold[f.name]) for f in fields_of(example)}
    empty = ["{}"] if any(value not in NOTHING for value in gold.values()) else []
    return [json.dumps(other, ensure_ascii=False), *empty]


def probes(example: Example) -> dict[str, str]:
    """Objects that say everything, or nothing."""
    gold, wrong = example.gold, wrong_answers(example)
    keys = gold_object(gold)
    made = {
        "every key twice": f"{gold[:-1]}, {wrong[0][1:]}",
        "the object in a list, with another": f"[{gold}, {wrong[0]}]",
        "the object as a text": json.dumps(gold, ensure_ascii=False),
    }
    if len(wrong) > 1:
        made["every value null"] = json.dumps(dict.fromkeys(keys))
    return made


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """The task's own question about the fields of the recipe."""
    options = trained.options
    assert isinstance(options, FieldOptions)
    if not options.fields:
        raise UserError(
            "options.fields: none here; ask a model that was trained to read fields, or train one"
        )
    return [
        Unlabelled(trained.filled(QUESTION), meta=_meta(dump_fields(options.document()), options))
    ]


SAMPLE = (
    Field("shop", "string"),
    Field("date", "date"),
    Field("total", "number"),
    Field("paid", "boolean", optional=True),
    Field("currency", "enum", ("EUR", "USD")),
    Field("items", "strings"),
)
TASK = Task(
    name="fields",
    headline="field_score",
    metric="mean field score",
    read=read,
    prompt=prompt,
    schema=schema,
    row=row,
    rewards={
        "field_score": field_score,
        "all_exact": all_exact,
        "valid": valid,
        "format": format_reward,
    },
    parsed=parsed,
    sample=Example(
        "sample",
        NoImage(),
        QUESTION,
        '{"shop": "Corner Bakery", "date": "2026-03-07", "total": 12.5, "paid": null, '
        '"currency": "EUR", "items": ["rye bread", "tea"]}',
        meta={"fields": dump_fields(SAMPLE)},
    ),
    metrics=metrics,
    wrong_answers=wrong_answers,
    probes=probes,
    form=QuestionForm((), unlabelled),
    words=Words("documents", headline="Mean field score"),
    sources=(*TABLES, "label_studio", "cvat", "scenes"),
    options=FieldOptions,
    answer_tokens=256,
    starter=Starter(columns=("image", "answer")),
)
