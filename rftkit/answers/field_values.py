"""The values of a document's fields: as the data write them, as a reply writes them, how alike.

Data are read with good will: a date as the document prints it, a number with a comma in it. A reply
has to write what it was asked for, so that its object can be used as it is.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from rftkit.answers import replies
from rftkit.answers.dates import Order, date_in, iso_date
from rftkit.answers.edit_distance import plain, similarity
from rftkit.answers.field_schema import Field
from rftkit.answers.literals import literal, unfenced
from rftkit.answers.number_text import number_in, spelled
from rftkit.messages import did_you_mean

MAX_CHARS = 65_536  # of a reply; a longer one is not read as an answer
LONGEST = 2_000  # characters of a gold text, or texts of a gold list
DIGITS = 20  # before the point of a number, and behind it
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Object = dict[str, object]


class RefusedError(ValueError):
    """JSON that is read otherwise here and there: a key twice, a number that is none."""


def gold_value(field: Field, value: object, order: Order = "") -> object:
    """A value of the data as JSON has it; None where the document does not say it.

    Raises ValueError, without a place, for one that the field cannot have.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        if field.optional:
            return None
        raise ValueError('no value, and it is not optional; add "?" to its type, or fill it in')
    return _READ[field.kind](field, value, order)


def read_object(answer: str) -> Object | None:
    """The one JSON object that an answer is; None for any other text.

    A code fence around it is fine: it adds no second answer. A key that is there twice, NaN,
    Python's spelling and words beside the object are not: what they mean is for the reader to pick.
    """
    text = unfenced(answer)
    if len(text) > MAX_CHARS or not text.startswith("{"):
        return None
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_no_number,
            parse_int=Decimal,
            parse_float=Decimal,
        )
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def as_json(value: object) -> object:
    """A value of such an object with plain numbers, which `json` can write."""
    if isinstance(value, Decimal):
        return _plain_number(value) if _is_number(value) else str(value)
    if isinstance(value, Mapping):
        return {key: as_json(one) for key, one in value.items()}
    return [as_json(one) for one in value] if isinstance(value, list) else value


def has_type(field: Field, value: object) -> bool:
    """Whether a value of a reply is one that the field may have."""
    if value is None:
        return field.optional
    if field.kind == "strings":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if field.kind in ("number", "integer"):
        number = value if isinstance(value, Decimal) else None
        return (
            number is not None
            and _is_number(number)
            and (field.kind == "number" or number == number.to_integral_value())
        )
    if field.kind == "boolean":
        return isinstance(value, bool)
    if not isinstance(value, str):
        return False
    return (
        iso_date(value) is not None
        if field.kind == "date"
        else (field.kind != "enum" or value in field.values)
    )


def score(field: Field, gold: object, value: object) -> float:
    """How far a reply's value is that of the gold, in [0, 1]; 0 for one of another type.

    Strings by edit distance, or right and wrong where the field is exact; lists by the texts that
    both have, of the longer one; all others right or wrong.
    """
    if gold is None or value is None:
        return float(gold is value)
    if not has_type(field, value):
        return 0.0
    if field.kind == "string" and not field.exact:
        return similarity(str(gold), str(value))
    if field.kind == "string":
        return float(str(gold).split() == str(value).split())
    if isinstance(value, Decimal):
        apart = abs(value - Decimal(str(gold)))
        return float(apart <= Decimal(str(field.tolerance)))
    if isinstance(gold, list) and isinstance(value, list):
        return _in_both([str(one) for one in gold], [str(one) for one in value])
    return float(gold == value)


def wrong_value(field: Field, gold: object) -> object:
    """Another value of the same type, which earns nothing."""
    if field.kind == "boolean":
        return gold is not True
    if field.kind == "enum":
        others = [value for value in field.values if value != gold]
        return others[0] if others else None
    if field.kind in ("number", "integer"):
        base = float(str(gold)) if gold is not None else 0.0
        return math.floor(base + 2 * field.tolerance) + 7
    if field.kind == "date":
        return "1969-07-20" if gold != "1969-07-20" else "1989-11-09"
    word = "qqqq" if "q" not in str(gold).casefold() else "0000000000"
    return [word] if field.kind == "strings" else word


def _in_both(gold: Sequence[str], listed: Sequence[str]) -> float:
    one, other = Counter(map(plain, gold)), Counter(map(plain, listed))
    longest = max(len(gold), len(listed))
    return (one & other).total() / longest if longest else 1.0


def _once(pairs: list[tuple[str, object]]) -> Object:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise RefusedError("a key twice")
    return made


def _no_number(name: str) -> object:
    raise RefusedError(name)


def _is_number(value: Decimal) -> bool:
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and value.adjusted() < DIGITS and exponent > -DIGITS


def _plain_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _text(field: Field, value: object, order: Order) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{repr(value)[:60]} is not a text; write one")
    text = " ".join(str(value).split())
    if len(text) > LONGEST or replies.TAG.search(text) or "<|" in text or not text.isprintable():
        raise ValueError(
            f"{text[:60]!a} holds a tag or control character, or more than {LONGEST} characters; "
            "reword it"
        )
    return text


def _number(field: Field, value: object, order: Order) -> int | float:
    number = None
    if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
        number = number_in(str(value) if not isinstance(value, float) else repr(value))
    if number is None:
        raise ValueError(f"{repr(value)[:60]} is not a number; write digits, such as 1234.50")
    if field.kind == "integer" and number != number.to_integral_value():
        raise ValueError(f'{spelled(number)} is not a whole number; fix it, or take "number"')
    return _plain_number(number)


def _date(field: Field, value: object, order: Order) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    found = date_in(str(value), order) if isinstance(value, str | int) else None
    if found is None:
        raise ValueError(
            f"{repr(value)[:60]} is no date, or may be one of two; write 2026-03-07, or set "
            "options.dates"
        )
    return found


def _boolean(field: Field, value: object, order: Order) -> bool:
    found = value if isinstance(value, bool) else BOOLEANS.get(str(value).strip().casefold())
    if found is None:
        raise ValueError(f"{repr(value)[:60]} is neither true nor false")
    return found


def _enum(field: Field, value: object, order: Order) -> str:
    text = plain(str(value)) if isinstance(value, str | int) else ""
    named = next((one for one in field.values if plain(one) == text), None)
    if named is None:
        raise ValueError(
            f"{repr(value)[:60]} is not one of its values; {did_you_mean(str(value), field.values)}"
        )
    return named


def _strings(field: Field, value: object, order: Order) -> list[str]:
    if isinstance(value, str) and value.lstrip()[:1] == "[":  # a cell of a CSV
        value = literal(value, numbers_as_text=True)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or len(value) > LONGEST:
        raise ValueError(f'{repr(value)[:60]} is not a list of texts; write ["…", "…"]')
    return [_text(field, one, order) for one in value]


_READ = {
    "string": _text,
    "number": _number,
    "integer": _number,
    "date": _date,
    "boolean": _boolean,
    "enum": _enum,
    "strings": _strings,
}
