"""A cache that one command reads its data through, so that no annotation file is parsed twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar, cast

from rftkit.data.paths import Note, silent

Value = TypeVar("Value")


class _Kept(NamedTuple):
    value: object
    notes: tuple[str, ...]


class ReadCache:
    """Parsed files and splits, kept for as long as one command loads its data.

    Make one for each command, hand it to all the loading of that command, and drop it before
    training or evaluation begins: it has no limit, because what it holds is what the command would
    otherwise read again.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def once(self, key: Hashable, read: Callable[[Note], Value], note: Note = silent) -> Value:
        """What `read(note)` returns; from the second call with this key on, what it returned.

        What `read` tells `note` the first time is told again every time.
        """
        if key not in self._kept:
            notes: list[str] = []
            self._kept[key] = _Kept(read(notes.append), tuple(notes))
        kept = self._kept[key]
        for line in kept.notes:
            note(line)
        return cast(Value, kept.value)
