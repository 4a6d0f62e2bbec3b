"""What holds for every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# where one of these is set, typer colours its help even when nobody watches; it looks once,
# when it is imported
for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
    os.environ.pop(name, None)
os.environ["HF_HUB_OFFLINE"] = "1"

# as in an activated environment, where a command that is printed begins with `rftkit`
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a command that ran in the test's process sets goes with it."""
    before = os.environ.get("PYTHONSAFEPATH")
    yield
    if before is None:
        os.environ.pop("PYTHONSAFEPATH", None)
