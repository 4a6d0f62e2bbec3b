"""The fields of a table of documents, guessed from the values of its columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from rftkit.answers.dates import Order, date_in
from rftkit.answers.field_schema import MOST, Field, field_of
from rftkit.answers.field_values import gold_value

ORDERS: tuple[Order, ...] = get_args(Order)
ENUM_MOST = 8  # different texts, at most, that look like a closed list
ENUM_EACH = 3  # times, on average, that each of them is there
ENUM_LONGEST = 30  # characters
TRUTHS = ({"true", "false"}, {"yes", "no"})


def guessed(records: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """`options` of the task fields for these records, in short form; {} without a field.

    A column is a field by its name if it has a value somewhere. It is optional where one is empty.
    """
    names = [name for name in dict.fromkeys(name for one in records for name in one) if name]
    columns = {name: [one.get(name) for one in records] for name in names}
    filled = {name: values for name, values in columns.items() if any(map(_there, values))}
    order: Order = next(
        (one for one in ORDERS if any(_are_dates(v, one) for v in filled.values())), ""
    )
    made = {
        name: _short(name, values, order)
        for name, values in list(filled.items())[:MOST]
        if _is_name(name)
    }
    if not made:
        return {}
    return {"fields": made, **({"dates": order} if order else {})}


def objects_in(values: Sequence[object]) -> list[Mapping[str, object]]:
    """The JSON objects that a column holds; [] where one of its values is something else."""
    found = []
    for value in values:
        try:
            one = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            return []
        if not isinstance(one, Mapping):
            return []
        found.append(one)
    return found


def _short(name: str, values: Sequence[object], order: Order) -> object:
    there = [value for value in values if _there(value)]
    optional = "?" if len(there) < len(values) else ""
    if any(isinstance(value, list | tuple) for value in there):
        return "strings" + optional
    if all(isinstance(value, bool) for value in there) or any(
        _texts(there) <= one for one in TRUTHS
    ):
        return "boolean" + optional
    for kind in ("integer", "number"):
        if not any(isinstance(value, bool) for value in there) and _fit(kind, there, order):
            return kind + optional
    if _are_dates(there, order):
        return "date" + optional
    different = sorted({str(value).strip() for value in there})
    few = 1 < len(different) <= ENUM_MOST and len(there) >= ENUM_EACH * len(different)
    if few and max(map(len, different)) <= ENUM_LONGEST:
        listed = [*different, *(["?"] if optional else [])]
        if _is_field(name, listed):
            return listed
    return "string" + optional


def _fit(kind: str, values: Sequence[object], order: Order) -> bool:
    field = Field("", "number" if kind == "number" else "integer")
    try:
        for value in values:
            gold_value(field, value, order)
    except ValueError:
        return False
    # 007 and 0151… are numbers of something, not amounts
    return not any(str(value).strip()[:1] == "0" and str(value).strip().isdigit()
                   and len(str(value).strip()) > 1 for value in values)  # fmt: skip


def _are_dates(values: Sequence[object], order: Order) -> bool:
    there = [str(value) for value in values if _there(value)]
    return bool(there) and all(date_in(v, order) and not v.isdigit() for v in there)


def _there(value: object) -> bool:
    return value is not None and bool(str(value).strip()) and value != []


def _texts(values: Sequence[object]) -> set[str]:
    return {str(value).strip().casefold() for value in values}


def _is_name(name: str) -> bool:
    return _is_field(name, "string")


def _is_field(name: str, value: object) -> bool:
    try:
        field_of(name, value)
    except ValueError:
        return False
    return True
