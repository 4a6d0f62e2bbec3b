"""What was computed once and may be asked for again, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """Values by key; the one that was not asked for longest is forgotten first.

    limit: bytes in all. size: the bytes of a value.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit, self.size, self.bytes = limit, size, 0
        self.kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of this key, made now if it is not kept."""
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        value = self.kept[key] = make()
        self.bytes += self.size(value)
        while self.bytes > self.limit:
            self.bytes -= self.size(self.kept.popitem(last=False)[1])
        return value
