"""The ends of errors: what a wrong name was likely to mean."""

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
