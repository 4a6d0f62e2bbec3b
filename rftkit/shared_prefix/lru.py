"""A cache of values that were computed once and may be asked for again, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LruCache(Generic[Value]):
    """Values by key; the least recently used one is dropped first.

    limit: bytes of all values together. size: the bytes of one value.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit, self.size, self.bytes = limit, size, 0
        self.values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of this key, computed now if it is not cached."""
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = self.values[key] = compute()
        self.bytes += self.size(value)
        while self.bytes > self.limit:
            self.bytes -= self.size(self.values.popitem(last=False)[1])
        return value
