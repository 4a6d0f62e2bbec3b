"""Goes on past rows that cannot be read, so that all of them are named at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rftkit.errors import DataError, GatheredError, HubError

MOST = 1000  # faults after which nobody reads on
T = TypeVar("T")


class Faults:
    """The lines of what was wrong, each once, in their order."""

    def __init__(self) -> None:
        self.lines = dict[str, None]()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within it a DataError ends the block, and is kept; HubError goes on up."""
        try:
            yield
        except HubError:
            raise
        except DataError as error:
            self.add(error)

    def add(self, error: DataError) -> None:
        """Keep it. Raises what was kept where there is too much to read."""
        lines = error.faults if isinstance(error, GatheredError) else [str(error)]
        self.lines |= dict.fromkeys(lines)
        if len(self.lines) >= MOST:
            self.raise_any()

    def of(self, rows: Iterable[T]) -> Iterator[T]:
        """The rows, until reading them ends with an error, which is kept."""
        with self.caught():
            yield from rows

    def raise_any(self) -> None:
        """Raises DataError for one fault, GatheredError for several; nothing without any."""
        if len(self.lines) == 1:
            raise DataError(*self.lines)
        if self.lines:
            raise GatheredError([*self.lines])
