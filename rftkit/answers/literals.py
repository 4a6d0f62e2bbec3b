"""Read JSON or Python literals from text that a model or a table's cell holds.

The text may be hostile. `ast.literal_eval` compiles its input: a long or deeply nested text
exhausts the parser's stack and memory, and integers have unlimited length. Here one regular
expression without backtracking splits the text into tokens, which are rewritten as JSON and read by
`json`: the time is linear in the length, nothing is compiled and nothing is evaluated.
"""

from __future__ import annotations

import json
import math
import re

MAX_CHARS = 16_384  # of a Python literal, about 250 boxes; JSON may be longer

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")
    |(?P<number>[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?\d++)?+)
    |(?P<word>[-+]?[A-Za-z]++)
    |(?P<mark>[\[\](){},:]))""",
    re.VERBOSE | re.DOTALL,
)
ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|(.))",
    re.DOTALL,
)
ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}
WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false"}
WORDS |= {"null": "null"} | dict.fromkeys(("nan", "NaN", "inf", "Infinity"), "NaN")


def literal(text: str, *, numbers_as_text: bool = False) -> object:
    """The value that a text holds as JSON or as a Python literal; None if it is neither.

    Numbers come back as floats, with `numbers_as_text` as they are written; tuples as lists. A
    Python literal is rewritten as JSON, never evaluated.
    """
    value = _json(text, numbers_as_text)
    if value is not None:
        return value
    json_text = _as_json(text, numbers_as_text) if len(text) <= MAX_CHARS else None
    values = _json(f"[{json_text}]", numbers_as_text) if json_text else None
    if not isinstance(values, list):
        return None
    return values[0] if len(values) == 1 else values


def unfenced(text: str) -> str:
    """The text inside of one code fence, with or without a language; a text without one as it is.

    >>> unfenced("```json\\n[1]\\n```"), unfenced(" [1] ")
    ('[1]', '[1]')
    """
    text = text.strip()
    opening = re.match(r"```\w*\s*", text)
    if opening is None:
        return text
    return text[opening.end() :].removesuffix("```").strip()


def in_text(value: object) -> str:
    """An answer as a person reads it: a text as it is, anything else as JSON.

    >>> in_text("rose"), in_text({"shop": "Café", "paid": True})
    ('rose', '{"shop": "Café", "paid": true}')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: object) -> float | None:
    """The float of an int or float, infinity if it is too large; None for others, bool too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _json(text: str, numbers_as_text: bool) -> object:
    kind: type = str if numbers_as_text else float
    try:
        value: object = json.loads(text, parse_int=kind, parse_float=kind)
    except (ValueError, RecursionError):
        return None
    return value


def _as_json(text: str, numbers_as_text: bool) -> str | None:
    pieces: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        token = TOKEN.match(text, position)
        piece = _piece(token, numbers_as_text) if token else None
        if token is None or piece is None:
            return None
        if piece in ("]", "}") and pieces and pieces[-1] == ",":
            pieces.pop()  # Python allows a comma before the bracket, JSON does not
        pieces.append(piece)
        position = token.end()
    return " ".join(pieces).removesuffix(",")


def _piece(token: re.Match[str], numbers_as_text: bool) -> str | None:
    spelling = token.group(token.lastgroup or 0)
    if token.lastgroup == "text":
        return json.dumps(ESCAPE.sub(_unescaped, spelling[1:-1]))
    if token.lastgroup == "number" and numbers_as_text:
        return json.dumps(spelling)
    if token.lastgroup == "number":
        number = float(spelling)
        return repr(number) if math.isfinite(number) else "NaN"
    if token.lastgroup == "word":
        return WORDS.get(spelling.lstrip("+-"))
    return {"(": "[", ")": "]"}.get(spelling, spelling)


def _unescaped(escape: re.Match[str]) -> str:
    """The character that an escape of Python's `repr` means; any other escape is kept as it is."""
    *codes, letter = escape.groups()
    if letter is not None:
        return ESCAPED.get(letter, escape[0])
    number = int(next(code for code in codes if code), 16)
    return escape[0] if 0xD800 <= number < 0xE000 else chr(number)
