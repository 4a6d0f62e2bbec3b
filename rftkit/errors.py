"""What can go wrong, sorted by who can fix it.

A `UserError` is printed as one line (where: what, with the value; how to fix it) and ends the
command with `exit_code`. Anything else that escapes is a bug and shows its traceback.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

from rftkit.messages import one_line

MOST_FAULTS = 1000  # after which nobody reads on
T = TypeVar("T")


class UserError(Exception):
    """Something the user can fix; the message is the one line they see, wherever it is shown.

    What it quotes may be a stranger's: `one_line` bounds it and spells out what steers a terminal.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class RecipeError(UserError):
    """A recipe, or an override of one, that cannot be run."""


class DataError(UserError):
    """A row, image or file of the user's data that cannot be used."""


class TooLargeError(DataError):
    """A file of too many bytes, or an image of too many pixels."""


class HubError(DataError):
    """Data or a model that only the hub has, and it cannot be reached now: try again later."""

    exit_code = 4


class GatheredError(DataError):
    """Several rows or images that cannot be used. faults: a line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        more = f" (and {len(faults) - 1} more: `rftkit check` lists them)" if faults[1:] else ""
        super().__init__(self.faults[0] + more)


class Faults:
    """Goes on past what cannot be read, so that all of it is named at once: a line each, once."""

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
        if len(self.lines) >= MOST_FAULTS:
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


class ModelError(UserError):
    """A model, adapter or checkpoint that cannot be loaded."""


class TrainingError(UserError):
    """Training went wrong after it had started; the run folder is kept."""

    exit_code = 3


class Interrupted(BaseException):  # so that no `except Exception` takes it for an error
    """A signal stopped a run, which is saved; the message says how to continue."""

    def __init__(self, number: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


class TookTooLong(BaseException):
    """What `time_limit` bounds did not end in time."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TookTooLong within it after so many seconds; in the main thread, where alarms ring."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stopped(by: Interrupted | KeyboardInterrupt, command: str) -> Interrupted:
    """The same stop, with the command that continues in its message."""
    number = by.number if isinstance(by, Interrupted) else signal.SIGINT
    return Interrupted(number, f"stopped; continue with: {command}")
