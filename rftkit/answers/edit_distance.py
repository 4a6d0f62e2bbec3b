"""How alike two short texts are, by the edits that lead from one to the other."""

from __future__ import annotations

import unicodedata

LEAST = 0.5  # a smaller likeness is none: any two texts share some letters


def similarity(gold: str, answer: str) -> float:
    """1 minus edits / length of the longer text, in [0, 1]; 0 if that is below a half.

    Case, spacing and the Unicode form of letters are no difference. Two empty texts are alike.

    Source: ANLS, of Biten et al., "Scene Text Visual Question Answering", ICCV 2019.
    """
    one, other = plain(gold), plain(answer)
    longest, shortest = max(len(one), len(other)), min(len(one), len(other))
    if not longest:
        return 1.0
    if shortest < LEAST * longest:  # so many edits at least, and no need to count the others
        return 0.0
    alike = 1.0 - distance(one, other) / longest
    return alike if alike >= LEAST else 0.0


def plain(text: str) -> str:
    """The text in small letters of one Unicode form, white space collapsed.

    >>> plain("  ACME\\n Ltd. ")
    'acme ltd.'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def distance(one: str, other: str) -> int:
    """Levenshtein's distance: insertions, deletions and substitutions of single characters.

    Bit i of `down` and `up` says whether the cell of row i is one more or one less than that
    above it, so that a whole column of the table is one integer.

    Source: Myers, J. ACM 46(3), 1999, in Hyyrö's form for the distance of whole texts.

    >>> distance("kitten", "sitting"), distance("", "abc")
    (3, 3)
    """
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for row, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << row
    every, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    down, up, edits = every, 0, len(one)
    for letter in other:
        same = places.get(letter, 0)
        level = same | up
        diagonal = ((same & down) + down ^ down) | same
        right, left = (up | ~(diagonal | down)) & every, down & diagonal
        edits += bool(right & last) - bool(left & last)
        right, left = right << 1 | 1, left << 1
        down, up = (left | ~(level | right)) & every, right & level & every
    return edits
