"""Fields of documents: dates, likeness of texts, schemas, values as data and replies write them."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal

import pytest
from effort import assert_effort
from hypothesis import given
from hypothesis import strategies as st

from rftkit.answers import field_marks, field_schema, field_values
from rftkit.answers.dates import Order, date_in, iso_date
from rftkit.answers.edit_distance import distance, similarity
from rftkit.answers.field_schema import Field, field_of, fields_of_json_schema
from rftkit.answers.field_values import gold_value, has_type, read_object, score


@pytest.mark.parametrize(
    ("text", "order", "found"),
    [
        *[(text, "", "2026-03-07") for text in (
            "2026-03-07", "2026/3/7", "2026.03.07", "20260307", "7.3.2026", "07.03.26",
            "7 March 2026", "7. Mar. 2026", "07-MAR-2026", "7th of March", "March 7, 2026",
            "Mar 7th, 2026", "2026-03-07T12:30:00Z", "2026-03-07 12:30", "7 Mar '26",
        ) if text != "7th of March"],
        ("13/07/2026", "", "2026-07-13"),
        ("07/13/2026", "", "2026-07-13"),
        ("07/07/2026", "", "2026-07-07"),
        ("03/07/2026", "", None),
        ("03/07/2026", "day-first", "2026-07-03"),
        ("03/07/2026", "month-first", "2026-03-07"),
        ("03-07-26", "day-first", "2026-07-03"),
        ("13-07-26", "", None),
        ("1.2.69", "", "1969-02-01"),
        ("30.02.2026", "", None),
        ("2026-13-01", "", None),
        ("0000-01-01", "", None),
        ("7th of March", "", None),
        ("7 Ma 2026", "", None),
        ("7 Marchy 2026", "", None),
        ("tomorrow", "", None),
        ("", "", None),
        ("2026-03-07 or 2026-03-08", "", None),
        ("\u0662\u0660\u0662\u0666-03-07", "", None),
        ("7" * 5000, "", None),
    ],
)  # fmt: skip
def test_a_date_reads_one_way_or_not_at_all(text: str, order: Order, found: str | None) -> None:
    assert date_in(text, order) == found


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y"]))
def test_every_date_is_read_back_from_every_form(day: date, form: str) -> None:
    text = day.strftime(form.replace("%Y", f"{day.year:04d}"))
    assert date_in(text) == iso_date(day.isoformat()) == day.isoformat()


def table(one: str, other: str) -> int:
    """Levenshtein's distance by its table, a row at a time."""
    row = [*range(len(other) + 1)]
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for column, beside in enumerate(other, 1):
            step = before + (letter != beside)
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, step)
    return row[-1]


@given(st.text("abcä ", max_size=70), st.text("abcä ", max_size=70))
def test_the_distance_is_that_of_the_table(one: str, other: str) -> None:
    assert distance(one, other) == table(one, other) == distance(other, one)


@pytest.mark.parametrize(
    ("gold", "answer", "alike"),
    [
        ("Corner Bakery", "corner  BAKERY", 1.0),
        ("Corner Bakery", "Corner Bakory", 12 / 13),
        ("Café", "Cafe\u0301", 1.0),
        ("abcd", "ab", 0.5),
        ("abcd", "a", 0.0),
        ("abcd", "abxyz", 0.0),
        ("abcd", "abcd" * 9, 0.0),
        ("", "", 1.0),
        ("a", "", 0.0),
    ],
)
def test_texts_are_alike_by_their_edits_from_a_half_on(
    gold: str, answer: str, alike: float
) -> None:
    assert similarity(gold, answer) == pytest.approx(alike)


def test_long_texts_are_compared_quickly() -> None:
    assert_effort(9000, similarity, "ab" * 1000, "ba" * 1900)


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Receipt",
    "type": "object",
    "properties": {
        "shop": {"type": "string", "description": "as  printed"},
        "date": {"type": ["string", "null"], "format": "date"},
        "total": {"type": "number", "title": "Total"},
        "count": {"type": "integer"},
        "paid": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None},
        "currency": {"type": "string", "enum": ["EUR", "USD"]},
        "kind": {"enum": ["cash", "card", None]},
        "items": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["shop", "date", "total", "paid", "currency", "kind", "items"],
    "additionalProperties": False,
}
FIELDS = [
    Field("shop", "string", description="as printed"),
    Field("date", "date", optional=True),
    Field("total", "number"),
    Field("count", "integer", optional=True),
    Field("paid", "boolean", optional=True),
    Field("currency", "enum", ("EUR", "USD")),
    Field("kind", "enum", ("cash", "card"), optional=True),
    Field("items", "strings"),
]


def test_a_flat_json_schema_names_the_fields() -> None:
    assert fields_of_json_schema(SCHEMA) == FIELDS


def test_what_is_written_is_read_back_the_same_in_every_form() -> None:
    assert [field_of(one.name, field_schema.table_of(one)) for one in FIELDS] == FIELDS
    again = [
        one if one.description == "" else Field(one.name, one.kind)
        for one in fields_of_json_schema(field_schema.json_schema(FIELDS))
    ]
    assert again == [Field("shop", "string"), *FIELDS[1:]]
    assert [*field_schema.load_fields(field_schema.dump_fields(FIELDS))] == FIELDS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "array"}, "type 'array' is not \"object\""),
        ({"allOf": []}, "'allOf' of JSON Schema is not read"),
        ({"$defs": {}}, "'$defs' of JSON Schema is not read"),
        ({"properties": None}, "no properties"),
        ({"properties": {}, "required": []}, "no properties"),
        ({"required": ["shp"]}, "required ['shp'] is not a list of its properties"),
        ({"additionalProperties": {"type": "string"}}, "additionalProperties is a schema"),
        ({"properties": {"a": {"type": "object"}}, "required": []}, "a: type 'object' is not read"),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}, "required": []}, "a: '$ref' of JSON Schema"),
        ({"properties": {"a": {"type": "string", "pattern": "x"}}, "required": []}, "'pattern'"),
        ({"properties": {"a": {"type": "string", "format": "uri"}}, "required": []}, "'uri'"),
        ({"properties": {"a": {"type": "array"}}, "required": []}, "arrays of strings are read"),
        (
            {"properties": {"a": {"type": "array", "items": {"type": "number"}}}, "required": []},
            "a: an array of 'number'",
        ),
        ({"properties": {"a": {"enum": [1, 2]}}, "required": []}, "a: a value 1 is not a text"),
        ({"properties": {"a": {"enum": ["x", "X"]}}, "required": []}, "read the same"),
        ({"properties": {"a": {"anyOf": [{"type": "string"}]}}, "required": []}, "a: anyOf"),
        ({"properties": {"a": 3}, "required": []}, "a: 3 is no schema of a field"),
        ({"properties": {"a": {"type": ["string", "number"]}}, "required": []}, "is not read"),
        ({"properties": {"<think>": {"type": "string"}}, "required": []}, "is not a text"),
    ],
)
def test_what_is_not_read_of_json_schema_is_refused_in_a_line(
    change: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        fields_of_json_schema({**SCHEMA, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("schema", [None, [], "x", 3])
def test_a_schema_is_an_object(schema: object) -> None:
    with pytest.raises(ValueError, match="is no JSON Schema"):
        fields_of_json_schema(schema)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("a", "strng", "a: no type 'strng'; did you mean 'string'?"),
        ("a", 3, "a: 3; write a type"),
        ("a", [], "a: [] is not a list of 1 to 64 texts"),
        ("a", ["x", 3], "a: a value 3 is not a text"),
        ("a", {"kind": "string"}, "a.kind: unknown key"),
        ("a", {"type": "enum"}, "an enum, and no other type"),
        ("a", {"type": "string", "values": ["x"]}, "an enum, and no other type"),
        ("a", {"type": "string", "optional": "yes"}, "is neither true nor false"),
        ("a", {"type": "string", "description": 3}, "a.description: 3 is no text"),
        ("", "string", "a field's name '' is not a text"),
        (" a", "string", "outer spaces"),
        ("a\n", "string", "control character"),
    ],
)
def test_a_field_that_is_none_is_refused(name: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        field_of(name, value)


GOLD = [
    ("string", "  Old \n Mill ", "Old Mill"),
    ("string", 12, "12"),
    ("number", "1,234.50", 1234.5),
    ("number", 12.0, 12),
    ("integer", "12.0", 12),
    ("date", "7.3.2026", "2026-03-07"),
    ("date", 20260307, "2026-03-07"),
    ("boolean", "Yes", True),
    ("boolean", False, False),
    ("boolean", 0, False),
    ("strings", '["a", " b "]', ["a", "b"]),
    ("strings", "a", ["a"]),
    ("strings", [], []),
]


@pytest.mark.parametrize(("kind", "value", "gold"), GOLD)
def test_data_are_read_with_good_will(kind: str, value: object, gold: object) -> None:
    read = gold_value(field_of("a", kind), value)
    assert (read, type(read)) == (gold, type(gold))
    again = read_object(json.dumps({"a": read}))
    assert again is not None
    assert score(field_of("a", kind), read, again["a"]) == 1.0


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("string", None, "no value, and it is not optional"),
        ("string", "  ", "no value"),
        ("string", ["a"], "is not a text"),
        ("string", True, "is not a text"),
        ("string", "a </answer> b", "holds a tag"),
        ("string", "a\u200bb", "control character"),
        ("string", "a" * 3000, "more than 2000 characters"),
        ("number", "12 EUR", "is not a number"),
        ("number", "1.234,50", "is not a number"),
        ("number", True, "is not a number"),
        ("number", float("nan"), "is not a number"),
        ("integer", "12.5", "12.5 is not a whole number"),
        ("date", "03/07/2026", "may be one of two; write 2026-03-07, or set options.dates"),
        ("date", "soon", "is no date"),
        ("boolean", "maybe", "neither true nor false"),
        (["EUR", "USD"], "EURO", "is not one of its values; did you mean 'EUR'?"),
        ("strings", {"a": 1}, "is not a list of texts"),
        ("strings", [1, None], "None is not a text"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused(
    kind: object, value: object, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        gold_value(field_of("a", kind), value)


def test_an_enum_is_read_whatever_its_case() -> None:
    assert gold_value(field_of("a", ["EUR", "USD"]), " usd") == "USD"
    assert gold_value(field_of("a", ["EUR", "USD", "?"]), "") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": Decimal(1)}),
        (' \n{"a": "x"}\n', {"a": "x"}),
        ('```json\n{"a": null}\n```', {"a": None}),
        ('{"a": 1} or {"a": 2}', None),
        ('{"a": 1}{"a": 2}', None),
        ('{"a": 1, "a": 1}', None),
        ('{"a": {"b": 1, "b": 2}}', None),
        ('[{"a": 1}]', None),
        ('"{}"', None),
        ("{'a': 1}", None),
        ('{"a": NaN}', None),
        ('{"a": Infinity}', None),
        ('{"a": 1,}', None),
        ('The object is {"a": 1}', None),
        ('```json\n{"a": 1}\n```\n```json\n{"a": 2}\n```', None),
        ('{"a": ' + "[" * 50000, None),
        ('{"a": "' + "x" * 70000 + '"}', None),
        ("", None),
    ],
)
def test_an_answer_is_one_object_or_none(text: str, found: object) -> None:
    assert read_object(text) == found


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    for inside in (text, "{" + text, '{"a": ' + text + "}"):
        found = read_object(inside)
        assert found is None or json.dumps(field_values.as_json(found))


@pytest.mark.parametrize("digits", ["1e999999999", "-1e-999999999", "9" * 60, "0." + "3" * 60])
def test_a_number_without_measure_is_wrong_and_costs_nothing(digits: str) -> None:
    found = read_object(f'{{"a": {digits}}}')
    assert found is not None
    assert not has_type(Field("a", "number"), found["a"])
    assert score(Field("a", "number", tolerance=1e9), 3, found["a"]) == 0
    json.dumps(field_values.as_json(found))


@pytest.mark.parametrize(
    ("field", "gold", "value", "earned"),
    [
        (Field("a", "string"), "Old Mill", "Old Mil", 7 / 8),
        (Field("a", "string", exact=True), "A-17", "A-18", 0.0),
        (Field("a", "string", exact=True), "A-17", " A-17 ", 1.0),
        (Field("a", "string", exact=True), "A-17", "a-17", 0.0),
        (Field("a", "string"), "12", Decimal(12), 0.0),
        (Field("a", "number"), 12.5, Decimal("12.50"), 1.0),
        (Field("a", "number"), 0.3, Decimal("0.30000000000000004"), 0.0),
        (Field("a", "number", tolerance=0.05), 12.5, Decimal("12.55"), 1.0),
        (Field("a", "number", tolerance=0.05), 12.5, Decimal("12.56"), 0.0),
        (Field("a", "number"), 12.5, "12.5", 0.0),
        (Field("a", "number"), 1, True, 0.0),
        (Field("a", "integer", tolerance=1), 1, Decimal("1.5"), 0.0),
        (Field("a", "boolean"), True, True, 1.0),
        (Field("a", "boolean"), True, Decimal(1), 0.0),
        (Field("a", "date"), "2026-03-07", "2026-03-07", 1.0),
        (Field("a", "date"), "2026-03-07", "7.3.2026", 0.0),
        (Field("a", "enum", ("EUR", "USD")), "EUR", "EUR", 1.0),
        (Field("a", "enum", ("EUR", "USD")), "EUR", "EUR, USD", 0.0),
        (Field("a", "enum", ("EUR", "USD")), "EUR", "eur", 0.0),
        (Field("a", "strings"), ["a", "b"], ["B", "a"], 1.0),
        (Field("a", "strings"), ["a", "b"], ["a", "a", "b", "c"], 0.5),
        (Field("a", "strings"), ["a"], ["a", Decimal(1)], 0.0),
        (Field("a", "string"), "x", None, 0.0),
        (Field("a", "string"), None, "x", 0.0),
        (Field("a", "string"), None, None, 1.0),
    ],
)
def test_a_value_earns_by_its_type(
    field: Field, gold: object, value: object, earned: float
) -> None:
    assert score(field, gold, value) == pytest.approx(earned)


TWO = (Field("a", "number"), Field("b", "string", optional=True))


@pytest.mark.parametrize(
    ("gold", "answer", "earned"),
    [
        ('{"a": 1, "b": "x"}', '{"a": 1, "b": "x"}', 1.0),
        ('{"a": 1, "b": "x"}', '{"a": 1}', 0.5),
        ('{"a": 1, "b": "x"}', '{"a": 1, "b": null}', 0.5),
        ('{"a": 1, "b": "x"}', '{"a": 1, "b": "x", "c": 0}', 2 / 3),
        ('{"a": 1, "b": null}', '{"a": 1}', 1.0),
        ('{"a": 1, "b": null}', '{"a": 1, "b": "x"}', 0.5),
        ('{"a": 1, "b": null}', '{"b": null}', 0.0),
        ('{"a": 1, "b": null}', "{}", 0.0),
        ('{"a": 1, "b": null}', '{"c": null}', 0.0),
        ('{"a": null, "b": null}', "{}", 1.0),
        ('{"a": null, "b": null}', '{"c": 1}', 0.0),
    ],
)
def test_what_is_left_out_costs_and_what_is_made_up(gold: str, answer: str, earned: float) -> None:
    made = field_marks.marked(TWO, gold, answer)
    assert made is not None
    assert field_marks.mean_score(TWO, made) == pytest.approx(earned)
    assert field_marks.all_right(made) == (earned == 1.0)


def test_fields_weigh_what_they_are_said_to() -> None:
    fields = (Field("a", "number", weight=3.0), Field("b", "string"))
    made = field_marks.marked(fields, '{"a": 1, "b": "x"}', '{"a": 1, "b": "zz"}')
    assert made is not None
    assert field_marks.mean_score(fields, made) == 0.75
