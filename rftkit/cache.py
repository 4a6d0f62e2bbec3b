"""Where rftkit keeps what it can make again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder(say: Callable[[str], None]) -> Path:
    """RFTKIT_CACHE, or rftkit in the user's cache directory; without a home, a temporary one.

    say: is told when it is the temporary one.
    """
    if chosen := os.environ.get("RFTKIT_CACHE"):
        return Path(chosen)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "rftkit"
    try:
        return Path.home() / ".cache" / "rftkit"
    except RuntimeError:
        folder = Path(tempfile.gettempdir()) / "rftkit-cache"
        say(f"no home directory: what is made once is kept in {folder}; set RFTKIT_CACHE")
        return folder
