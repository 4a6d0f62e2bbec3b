"""How much work a call is, in a unit that does not change where a machine is slow or busy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

TEXT = "a(1, 2) " * 8192  # 64 kilobytes


def assert_effort(at_most: float, call: Callable[..., object], *arguments: object) -> None:
    """Fail if the call takes the CPU time of more than `at_most` plain loops over 64 kilobytes.

    It is made up to three times, each beside a loop, until once it takes less: other processes
    may slow down either.
    """
    least = math.inf
    for _ in range(3):
        least = min(least, _seconds(call, *arguments) / _seconds(_loop))
        if least <= at_most:
            return
    raise AssertionError(f"took {least:.0f} loops over 64 kilobytes, not {at_most:g}")


def _seconds(call: Callable[..., object], *arguments: object) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def _loop() -> int:
    total = 0
    for character in TEXT:
        total += ord(character)
    return total
