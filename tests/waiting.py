"""Waiting for what another process does, however long a slow or busy machine takes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

HANG_SECONDS = 900.0  # nothing here takes that long, except what will never end


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Return once it has happened. Fails if the process ends before, or hangs."""
    until = time.monotonic() + HANG_SECONDS
    while not happened():
        assert process.poll() is None, "the process ended before it could be stopped"
        assert time.monotonic() < until, "the process hangs"
        time.sleep(0.05)
