"""Normalise class names, and match an answer to a list of labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

OUTER = "".join(chr(c) for c in range(33, 127) if not chr(c).isalnum()) + "“”‘’«»。、…"
MAX_CHARS = 1_000  # a longer answer matches no label

SEPARATORS = ",;/|<>\n"
HEDGES = frozenset({"and", "or", "nor", "not", "no", "never", "either", "neither", "versus"})
MAX_EXTRA_WORDS = 6  # "This is a <label> passenger jet", but not the whole class list


@lru_cache(maxsize=16384)
def normalise(label: str) -> str:
    """The normalised spelling by which labels are compared.

    NFKC, casefold, runs of `_`, `-` and white space folded to one space, outer punctuation dropped.
    """
    text = _folded_case(label)
    return re.sub(r"[_\-\s]+", " ", text).strip(OUTER + " ")


def join_labels(labels: Sequence[str]) -> str:
    """The labels joined by ", "; by "; " or a newline if a label contains the separator.

    >>> join_labels(["cat", "dog"]), join_labels(["a, b", "c"])
    ('cat, dog', 'a, b; c')
    """
    unused = (mark for mark in (",", ";") if not any(mark in label for label in labels))
    separator = next(unused, "")
    return (f"{separator} " if separator else "\n").join(labels)


def match_label(
    answer: str, labels: Sequence[str], aliases: Mapping[str, str] | None = None
) -> str | None:
    """The one label that `answer` names exactly, as the list spells it; None if there is none.

    aliases: other spelling -> label. A substring never counts: `primrose` is not `rose`.
    """
    key = normalise(answer) if len(answer) <= MAX_CHARS else ""
    if not key:
        return None
    label = _index(tuple(labels)).get(key)
    if label is None and aliases:
        target = _folded(tuple(aliases.items())).get(key)
        label = _index(tuple(labels)).get(normalise(target)) if target else None
    return label


def match_open_answer(
    answer: str, labels: Sequence[str], aliases: Mapping[str, str] | None = None
) -> str | None:
    """The one label that an answer to an open question names; None if there is none.

    The answer is the label itself, as in `match_label`, or a short plain phrase that contains it as
    whole words and names no other:
    `Boeing 737-300 passenger jet` names `737-300`; `737`, `737-300ER` and `737-300 or A320` do not.
    """
    exact = match_label(answer, labels, aliases)
    if exact is not None or len(answer) > MAX_CHARS:
        return exact
    named = _mentions(_words(answer), labels)
    return named[0] if len(named) == 1 and _is_plain(answer.strip(), named[0]) else None


def names_several(answer: str, labels: Iterable[str]) -> bool:
    """Whether `answer` names two or more labels, as a hedged reply does."""
    return len({*_mentions(_words(answer[:MAX_CHARS]), tuple(labels))}) > 1


def colliding_labels(labels: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of different labels that are spelled the same once normalised."""
    first_spelling: dict[str, str] = {}
    return [
        (first_spelling[key], label)
        for label in labels
        if first_spelling.setdefault(key := normalise(label), label) != label
    ]


def _mentions(words: tuple[str, ...], labels: Sequence[str]) -> list[str]:
    """The labels whose words occur in `words`, in order; the longest where two overlap."""
    labels_by_first_word = _by_first_word(tuple(labels))
    named: list[str] = []
    index = 0
    while index < len(words):
        for key, label in labels_by_first_word.get(words[index], ()):
            if words[index : index + len(key)] == key:
                named.append(label)  # so that 'rose' inside 'rose hip' is not counted
                index += len(key) - 1
                break
        index += 1
    return named


def _is_plain(answer: str, label: str) -> bool:
    """Whether the answer only adds a few words to the label, no tag, alternative or negation."""
    bare = answer.strip(OUTER + " ")
    if any(bare.count(mark) > label.count(mark) for mark in SEPARATORS):
        return False
    words, label_words = _words(answer), _words(label)
    extra = len(words) - len(label_words)
    hedged = any(words.count(word) > label_words.count(word) for word in HEDGES)
    return extra <= MAX_EXTRA_WORDS and not hedged


def _words(text: str) -> tuple[str, ...]:
    """Words, normalised one by one; a hyphen joins, so `737-300` is one word."""
    parts = _folded_case(text).replace("_", " ").split()
    return tuple(word for part in parts if (word := part.strip(OUTER)))


def _folded_case(text: str) -> str:
    # piece by piece: NFKC is quadratic on a run of combining marks
    pieces = (text[i : i + MAX_CHARS] for i in range(0, len(text), MAX_CHARS))
    return "".join(unicodedata.normalize("NFKC", piece) for piece in pieces).casefold()


@lru_cache(maxsize=256)
def _index(labels: tuple[str, ...]) -> dict[str, str]:
    return {normalise(label): label for label in reversed(labels)}


@lru_cache(maxsize=64)
def _by_first_word(labels: tuple[str, ...]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    labels_by_first_word: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for label in labels:
        if words := _words(label):
            labels_by_first_word.setdefault(words[0], []).append((words, label))
    for candidates in labels_by_first_word.values():
        candidates.sort(key=lambda entry: len(entry[0]), reverse=True)
    return labels_by_first_word


@lru_cache(maxsize=64)
def _folded(aliases: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {normalise(other): label for other, label in aliases}
