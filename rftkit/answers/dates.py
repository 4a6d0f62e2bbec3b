"""Dates as documents write them, read into the one form of ISO 8601: 2026-03-07."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal

Order = Literal["", "day-first", "month-first"]  # of 03/07/2026; "": not known

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
LONGEST = 40  # characters; a longer text is no date
TIME = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + TIME)
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
DAY_MONTH = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th)?[ .,/-]{0,3}([a-z]{3,9})\.?[ .,/'-]{0,3}(\d{4}|\d{2})", re.IGNORECASE
)
MONTH_DAY = re.compile(
    r"([a-z]{3,9})\.?[ -]{0,2}(\d{1,2})(?:st|nd|rd|th)?[ ,-]{1,3}(\d{4})", re.IGNORECASE
)
NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})" + TIME)
PIVOT = 69  # two digits from here on are 19xx, as POSIX has it


def iso_date(text: str) -> str | None:
    """A text that is a real date in the form of ISO 8601 already; None for any other.

    >>> iso_date("2026-03-07"), iso_date("2026-02-30"), iso_date("7.3.2026")
    ('2026-03-07', None, None)
    """
    match = ISO.fullmatch(text, 0, LONGEST) if text.isascii() else None
    return _real(match[1], match[2], match[3]) if match else None


def date_in(text: str, order: Order = "") -> str | None:
    """The date that a text is, as 2026-03-07; None if it is none, or may be one of two.

    Months are digits or English words. Between dots the day is first, after a year the month; of
    03/07/2026 and 03-07-2026 `order` decides, and without it only 13/07/2026 is read.

    >>> date_in("7.3.2026"), date_in("March 7, 2026"), date_in("13/07/2026"), date_in("03/07/2026")
    ('2026-03-07', '2026-03-07', '2026-07-13', None)
    """
    text = " ".join(text.split())
    if len(text) > LONGEST or not text.isascii():
        return None
    if match := YEAR_FIRST.fullmatch(text):
        return _real(match[1], match[3], match[4])
    if match := COMPACT.fullmatch(text):
        return _real(match[1], match[2], match[3])
    if match := DAY_MONTH.fullmatch(text):
        return _real(match[3], _month(match[2]), match[1])
    if match := MONTH_DAY.fullmatch(text):
        return _real(match[3], _month(match[1]), match[2])
    match = NUMERIC.fullmatch(text)
    return _numeric(match, order) if match else None


def _numeric(match: re.Match[str], order: Order) -> str | None:
    first, mark, second, year = match.groups()
    day_first, month_first = _real(year, second, first), _real(year, first, second)
    if mark == "." or order == "day-first":
        return day_first
    if order == "month-first":
        return month_first
    if len(year) == 2:  # 26-03-07 may be a year too
        return None
    one_way = {day_first, month_first} - {None}
    return one_way.pop() if len(one_way) == 1 else None


def _month(name: str) -> str:
    """The number of a month; "0", which is none, for another word. Three letters are enough."""
    numbers = [number for number, full in enumerate(MONTHS, 1) if full.startswith(name.casefold())]
    return str(numbers[0]) if numbers else "0"


def _real(year: str, month: str, day: str) -> str | None:
    """None for a day that no calendar has."""
    whole = int(year)
    if len(year) == 2:
        whole += 1900 if whole >= PIVOT else 2000
    try:
        return date(whole, int(month), int(day)).isoformat()
    except ValueError:
        return None
