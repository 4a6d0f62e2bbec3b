"""Numbers in text: digits, with separators of thousands, or a word up to twenty."""

from __future__ import annotations

import re
from decimal import Decimal

NUMBER = re.compile(r"[+-]?\d{1,15}+(?:\.\d{1,12}+)?+|[+-]?\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,12}+)?+")
WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen", "twenty"),
)


def number_in(text: str) -> Decimal | None:
    """The number that a text is, in digits or as a word up to twenty; None if it is another text.

    >>> number_in(" 1,200 "), number_in("Seven."), number_in("7 or 8")
    (Decimal('1200'), Decimal('7'), None)
    """
    text = text.strip().rstrip(".").casefold() if len(text) <= 100 else ""
    if text in WORDS:
        return Decimal(WORDS.index(text))
    return Decimal(text.replace(",", "")) if NUMBER.fullmatch(text) else None


def spelled(value: Decimal) -> str:
    """Digits without an exponent or a zero fraction.

    >>> spelled(Decimal("12.50")), spelled(Decimal("-0.0")), spelled(Decimal("1E+3"))
    ('12.5', '0', '1000')
    """
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if value else "0"
