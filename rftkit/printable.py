"""Text from outside, made safe to show in a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters spelled out, so that none of them steers the terminal.

    Line ends and tabs stay.

    >>> printable("cat\\x1b[2J\\n")
    'cat\\\\x1b[2J\\n'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
