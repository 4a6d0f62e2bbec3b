"""What fields a document has: their names and types, in a recipe's short form and JSON Schema.

A recipe writes a type's name, with `?` where the document may not say it, or the values of a list:

    {"shop": "string", "total": "number", "paid": "boolean?", "currency": ["EUR", "USD", "?"]}

A file of JSON Schema may say the same of a flat object; whatever else it says is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from math import inf
from typing import Any, Literal, get_args

from rftkit.answers import replies
from rftkit.messages import did_you_mean

Kind = Literal["string", "number", "integer", "date", "boolean", "enum", "strings"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TABLE = ("type", "values", "optional", "description")  # keys of a field's own table
MOST = 64  # fields, and values of a list
LONGEST = 200  # characters of a name or a value

OF_OBJECT = ("type", "properties", "required", "additionalProperties")
OF_FIELD = ("type", "format", "enum", "items", "anyOf")
SILENT = ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated")
PLAIN: dict[object, Kind] = {
    "string": "string",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}


@dataclass(frozen=True)
class Field:
    """One field. values: of an enum. optional: the document may not say it, then it is null.

    exact: a string that is right or wrong, as a number of an invoice is. tolerance: of numbers.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    optional: bool = False
    description: str = ""
    exact: bool = False
    weight: float = 1.0
    tolerance: float = 0.0


DEFAULTS: dict[str, Any] = {  # of what a field may leave out
    "optional": False,
    "description": "",
    "exact": False,
    "weight": 1.0,
    "tolerance": 0.0,
}


def field_of(name: str, value: object) -> Field:
    """A field as a recipe writes it. Raises ValueError, without a place, for what is no field."""
    _check_text(name, "a field's name")
    if isinstance(value, str):
        kind, optional = value.removesuffix("?"), value.endswith("?")
        return Field(name, _kind(kind, name), optional=optional)
    if isinstance(value, list | tuple):
        values = [one for one in value if one != "?"]
        return Field(name, "enum", _values(values, name), "?" in value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: {repr(value)[:60]}; write a type ({', '.join(KINDS)}) or a list")
    if other := next((key for key in value if key not in TABLE), None):
        raise ValueError(f"{name}.{other}: unknown key; {did_you_mean(str(other), TABLE)}")
    listed = "values" in value
    kind = _kind(value.get("type", "enum" if listed else "string"), name)
    if listed != (kind == "enum"):
        raise ValueError(f'{name}: type {kind!r}; an enum, and no other type, has "values"')
    optional = value.get("optional", False)
    if not isinstance(optional, bool):
        raise ValueError(f"{name}.optional: {repr(optional)[:60]} is neither true nor false")
    texts = _values(value["values"], name) if listed else ()
    return Field(name, kind, texts, optional, _described(value.get("description", ""), name))


def table_of(field: Field) -> dict[str, Any]:
    """The table that a recipe writes for a field; `field_of` reads it back."""
    table: dict[str, Any] = {"type": field.kind}
    table |= {"values": field.values} if field.kind == "enum" else {}
    table |= {"optional": True} if field.optional else {}
    return table | ({"description": field.description} if field.description else {})


def fields_of_json_schema(schema: object) -> list[Field]:
    """The fields of a flat object in JSON Schema. Raises ValueError for what is not read.

    A property that is not `required`, or that may be null, is optional. Words that explain, such
    as `title`, say nothing here; `description` goes into the prompt.
    """
    if not isinstance(schema, Mapping):
        raise ValueError(f'{repr(schema)[:60]} is no JSON Schema; write {{"type": "object", …}}')
    _check_keys(schema, OF_OBJECT, "")
    if schema.get("type") != "object":
        raise ValueError(f'type {repr(schema.get("type"))[:60]} is not "object"; name its fields')
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, Mapping):
        raise ValueError("no properties; name the fields of the object")
    if not isinstance(required, list) or not all(name in properties for name in required):
        raise ValueError(f"required {repr(required)[:60]} is not a list of its properties")
    if not isinstance(schema.get("additionalProperties", False), bool):
        raise ValueError("additionalProperties is a schema, which is not read; write false")
    fields = [_property(name, one, name not in required) for name, one in properties.items()]
    if not fields:
        raise ValueError("no properties; name the fields of the object")
    return fields


def json_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """The JSON Schema of the objects that are asked for: every field there, and no other key."""
    return {
        "type": "object",
        "properties": {field.name: _schema_of(field) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def dump_fields(fields: Sequence[Field]) -> str:
    """The fields as a text that `load_fields` reads back."""
    return json.dumps([asdict(field) for field in fields], ensure_ascii=False)


@lru_cache(maxsize=64)  # a run has one, and every reward asks for it
def load_fields(text: str) -> tuple[Field, ...]:
    """The fields in such a text. Raises ValueError, without a place, for any other."""
    try:
        entries = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(entries, list):
        raise ValueError(f"{repr(entries)[:60]} is no list of fields")
    return _named_apart([_loaded(one) for one in entries])


def given_fields(value: object) -> tuple[Field, ...]:
    """Fields as a recipe's table or a text of `dump_fields` has them.

    Raises ValueError, without a place, for what is neither.
    """
    if isinstance(value, Mapping):
        return _named_apart([field_of(name, one) for name, one in value.items()])
    if not isinstance(value, str):
        raise ValueError(f"{repr(value)[:60]} is no table of names and types")
    return load_fields(value)


def _named_apart(fields: Sequence[Field]) -> tuple[Field, ...]:
    if not 0 < len(fields) <= MOST:
        raise ValueError(f"{len(fields)} fields; 1 to {MOST} are read")
    if len({field.name for field in fields}) < len(fields):
        raise ValueError("two fields have one name; rename one")
    return tuple(fields)


def _loaded(entry: object) -> Field:
    """One field of a text of `dump_fields`; what a recipe checks is checked again."""
    if not isinstance(entry, Mapping) or not {"name", "kind", "values"} <= entry.keys():
        raise ValueError(f"{repr(entry)[:60]} is no field with its name, kind and values")
    rest = {key: value for key, value in entry.items() if key not in ("name", "kind", "values")}
    if other := next((key for key in rest if key not in DEFAULTS), None):
        raise ValueError(f"{other}: unknown key; {did_you_mean(other, DEFAULTS)}")
    held = {**DEFAULTS, **rest}
    values = {"values": entry["values"]} if entry["values"] or entry["kind"] == "enum" else {}
    told = {key: held[key] for key in ("optional", "description")}
    field = field_of(entry["name"], {"type": entry["kind"], **values, **told})
    exact, weight, tolerance = (held[key] for key in ("exact", "weight", "tolerance"))
    numbers = [one for one in (weight, tolerance) if type(one) in (int, float) and 0 <= one < inf]
    if not isinstance(exact, bool) or len(numbers) < 2 or not 0 < weight <= 1000:
        raise ValueError(f"{field.name}: no exact, weight and tolerance in {repr(held)[:200]}")
    return replace(field, exact=exact, weight=weight, tolerance=tolerance)


def _property(name: str, schema: object, optional: bool) -> Field:
    if not isinstance(schema, Mapping):
        raise ValueError(f"{name}: {repr(schema)[:60]} is no schema of a field")
    _check_text(name, "a field's name")
    _check_keys(schema, OF_FIELD, f"{name}: ")
    described = _described(schema.get("description", ""), name)
    if "anyOf" in schema:  # how pydantic writes a value that may be null
        schema, optional = _not_null(name, schema), True
    kind, null = schema.get("type"), False
    if isinstance(kind, list):
        null = "null" in kind
        others = [one for one in kind if one != "null"]
        kind = others[0] if len(others) == 1 else kind
    if "enum" in schema:
        values = schema["enum"] if isinstance(schema["enum"], list) else []
        texts = _values([one for one in values if one is not None], name)
        return Field(name, "enum", texts, optional or null or None in values, described)
    return Field(name, _kind_of(name, kind, schema), (), optional or null, described)


def _not_null(name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one schema of an `anyOf` beside null."""
    parts = schema["anyOf"] if isinstance(schema["anyOf"], list) else []
    others = [part for part in parts if part != {"type": "null"}]
    if len(others) != 1 or len(parts) != 2 or not isinstance(others[0], Mapping):
        raise ValueError(f"{name}: anyOf of more than a type and null, which is not read")
    _check_keys(others[0], tuple(key for key in OF_FIELD if key != "anyOf"), f"{name}: ")
    return others[0]


def _kind_of(name: str, kind: object, schema: Mapping[str, Any]) -> Kind:
    if kind == "array":
        items = schema.get("items")
        if not isinstance(items, Mapping) or {**items, "type": ""} != {"type": ""}:
            raise ValueError(f"{name}: an array of {repr(items)[:60]}; arrays of strings are read")
        if items["type"] == "string":
            return "strings"
        raise ValueError(f"{name}: an array of {items['type']!r}; arrays of strings are read")
    if kind == "string" and "format" in schema:
        if schema["format"] == "date":
            return "date"
        raise ValueError(f'{name}: format {repr(schema["format"])[:60]}; "date" is read, no other')
    if not isinstance(kind, str) or kind not in PLAIN:
        there = ", ".join((*map(str, PLAIN), "array of strings"))
        raise ValueError(f"{name}: type {repr(kind)[:60]} is not read; {there} are")
    return PLAIN[kind]


def _schema_of(field: Field) -> dict[str, Any]:
    if field.kind == "enum":
        return {"enum": [*field.values, *([None] if field.optional else [])]}
    kinds = {"date": "string", "strings": "array"}
    kind = kinds.get(field.kind, field.kind)
    schema: dict[str, Any] = {"type": [kind, "null"] if field.optional else kind}
    if field.kind == "date":
        schema["format"] = "date"
    if field.kind == "strings":
        schema["items"] = {"type": "string"}
    return schema


def _check_keys(schema: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if other := next((key for key in schema if key not in (*known, *SILENT)), None):
        raise ValueError(
            f"{where}{str(other)[:60]!r} of JSON Schema is not read; of a flat object's fields "
            f"{', '.join(known)} are"
        )


def _kind(kind: object, name: str) -> Kind:
    found = next((one for one in KINDS if one == kind), None)
    if found is None:
        raise ValueError(f"{name}: no type {repr(kind)[:60]}; {did_you_mean(str(kind), KINDS)}")
    return found


def _values(values: object, name: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not 0 < len(values) <= MOST:
        raise ValueError(f"{name}: {repr(values)[:60]} is not a list of 1 to {MOST} texts")
    for value in values:
        _check_text(value, f"{name}: a value")
    if len({value.casefold() for value in values}) < len(values):
        raise ValueError(f"{name}: two of {repr(list(values))[:60]} read the same; rename one")
    return tuple(values)


def _described(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name}.description: {repr(text)[:60]} is no text")
    if text:
        _check_text(text := " ".join(text.split()), f"{name}.description", 10 * LONGEST)
    return text


def _check_text(text: object, what: str, longest: int = LONGEST) -> None:
    """Raises ValueError for what a prompt cannot carry."""
    fine = isinstance(text, str) and bool(text.strip()) and len(text) <= longest
    if not fine or "<|" in str(text) or replies.TAG.search(str(text)):
        raise ValueError(f"{what} {repr(text)[:60]} is not a text of at most {longest} characters")
    if not str(text).isprintable() or str(text) != str(text).strip():
        raise ValueError(f"{what} {text!a:.60} holds a control character or outer spaces")
