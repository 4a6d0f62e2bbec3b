"""Values that a model wrote out as text: JSON, or the literals of Python. Nothing is evaluated."""

from __future__ import annotations

import json
import math
import re

MAX_CHARS = 16_384  # of a Python literal: some 250 boxes; JSON may be longer

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")
    |(?P<number>[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+)
    |(?P<word>[-+]?[A-Za-z]++)
    |(?P<mark>[\[\](){},:]))""",
    re.VERBOSE | re.DOTALL,
)
WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false"}
WORDS |= {"null": "null"} | dict.fromkeys(("nan", "NaN", "inf", "Infinity"), "NaN")


def literal(text: str) -> object:
    """The value that a text spells, as JSON or as a Python literal; None if it is neither.

    Numbers are floats, tuples are lists. The Python literal is respelled as JSON, never evaluated.
    """
    value = _json(text)
    if value is not None:
        return value
    respelled = _respelled(text) if len(text) <= MAX_CHARS else None
    values = _json(f"[{respelled}]") if respelled else None
    if not isinstance(values, list):
        return None
    return values[0] if len(values) == 1 else values


def number(value: object) -> float | None:
    """The float of an int or a float, infinity for a larger one; None for a bool or else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _json(text: str) -> object:
    try:
        value: object = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None
    return value


def _respelled(text: str) -> str | None:
    pieces: list[str] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        token = TOKEN.match(text, place)
        piece = _piece(token) if token else None
        if token is None or piece is None:
            return None
        if piece in ("]", "}") and pieces and pieces[-1] == ",":
            pieces.pop()  # Python allows a comma before the bracket, JSON does not
        pieces.append(piece)
        place = token.end()
    return " ".join(pieces).removesuffix(",")


def _piece(token: re.Match[str]) -> str | None:
    spelling = token.group(token.lastgroup or 0)
    if token.lastgroup == "text":
        return json.dumps(re.sub(r"""\\(['"\\])""", r"\1", spelling[1:-1]))
    if token.lastgroup == "number":
        number = float(spelling)
        return repr(number) if math.isfinite(number) else "NaN"
    if token.lastgroup == "word":
        return WORDS.get(spelling.lstrip("+-"))
    return {"(": "[", ")": "]"}.get(spelling, spelling)
