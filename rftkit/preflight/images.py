"""Every image of a recipe's data, opened once, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from rftkit.core import Example
from rftkit.data.duplicates import Print, fingerprint
from rftkit.errors import DataError

IMAGES_OPENED = 100_000  # of both splits together; more are not looked at, and the check says so
AHEAD = 64  # images that are read before the first of them is looked at

Seen = Callable[[], None]


class Opened(NamedTuple):
    """What opening images showed. broken: a line for each that cannot be read."""

    prints: tuple[Print, ...]
    broken: tuple[str, ...]


def opened(examples: Sequence[Example], seen: Seen) -> Opened:
    """Open the image of each example, in their order. seen: is called after each.

    Pillow decodes and scales without Python's lock, so that threads use all cores.
    """
    prints, broken = list[Print](), list[str]()
    for found in _in_order(examples[:IMAGES_OPENED]):
        seen()
        if isinstance(found, Print):
            prints.append(found)
        else:
            broken.append(found)
    return Opened(tuple(prints), tuple(broken))


def _in_order(examples: Sequence[Example]) -> Iterator[Print | str]:
    """The print of each image, or the line that says why there is none."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rest = iter(examples)
        waiting = [pool.submit(_looked_at, example) for example in islice(rest, AHEAD)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(_looked_at, example) for example in islice(rest, 1)]


def _looked_at(example: Example) -> Print | str:
    try:
        return fingerprint(example)
    except DataError as error:
        return str(error)
