"""A user's function that is called by a run: it ends as a value or as one line, and in time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from rftkit.errors import Interrupted
from rftkit.messages import in_short

SAID_AFTER = 30.0  # seconds of one call
REPEATED = 1.0  # seconds until a function that has swallowed its end is ended again
SWALLOWED = 5  # times; then the process ends, as nothing else would
EXIT_CODE = 3  # of training that went wrong


class TooLong(BaseException):
    """A call took longer than it may."""


@dataclass(frozen=True)
class Patience:
    """How long a call may take. say: prints a line. timeout: seconds, 0 for any time."""

    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
    timeout: float = 0.0


PATIENT = Patience()


class FaultError(Exception):
    """What a function did instead of returning, in words."""


def call(what: str, patience: Patience, function: Callable[..., Any], *given: object) -> Any:
    """What the function returns. Raises FaultError for whatever it raises, and for its exits.

    what: the function, in words. Signals that stop the run pass through.
    """
    try:
        with _streams_kept(), _exits_raise(), _timed(what, patience):
            return function(*given)
    except TooLong:
        allowed = f"--reward-timeout {patience.timeout:g}"
        raise FaultError(f"did not return within {allowed} s") from None
    except (Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever the user's code raises is theirs to fix
        raise FaultError(f"raised {in_short(error)}") from error


@contextmanager
def _timed(what: str, patience: Patience) -> Iterator[None]:
    """Meanwhile an alarm of the system says after a while that it takes long, and ends it.

    Only in the main thread, where the system's alarms are heard; rewards are computed in it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began, said, raised = time.monotonic(), False, 0

    def late(number: int, frame: FrameType | None) -> None:
        nonlocal said, raised
        spent = time.monotonic() - began
        if not said and spent >= SAID_AFTER:
            said = True
            ends = f"--reward-timeout ends it after {patience.timeout:g} s"
            patience.say(
                f"{what}: has run for {spent:.0f} s; "
                + (ends if patience.timeout else "Ctrl-C stops, --reward-timeout sets a limit")
            )
        if patience.timeout and spent >= patience.timeout:
            raised += 1
            if raised > SWALLOWED:
                patience.say(f"rftkit: {what}: does not end; continue with --resume")
                os_exit(EXIT_CODE)
            raise TooLong

    waits = [SAID_AFTER, *([patience.timeout] if patience.timeout else [])]
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, min(waits), REPEATED)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


os_exit = os._exit


@contextmanager
def _exits_raise() -> Iterator[None]:
    """Meanwhile `os._exit`, which ends a process without a word, is an error like any other."""
    ours = os.getpid()

    def leave(status: int) -> NoReturn:
        if os.getpid() != ours:  # a process that the function has forked ends so
            os_exit(status)
        raise SystemExit(status)

    os._exit = leave
    try:
        yield
    finally:
        os._exit = os_exit


@contextmanager
def _streams_kept() -> Iterator[None]:
    """Meanwhile closing the standard streams closes nothing: the run still has to speak."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Lent(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


class _Lent:
    """A stream that cannot be closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """It stays open."""
