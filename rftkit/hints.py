"""The wording of errors: what a wrong name was likely to mean, what another error says."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """The end of an error: the likeliest name, or all of them."""
    names = [str(name) for name in known]
    close = get_close_matches(wrong, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"


def missing_column(role: str, column: str, known: Iterable[str]) -> str:
    """The end of an error about a column that is not there."""
    hint = did_you_mean(column, known)
    stop = "" if hint.endswith("?") else "."
    return f"no column {column!r}; {hint}{stop} Set data.columns.{role} in the recipe"


def first_line(error: BaseException, longest: int = 160) -> str:
    """The first line of an error's text that says something, cut to `longest` characters.

    The name of its type where it has no text, as many of the standard errors do.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip()[:longest]
