"""Charts are drawn by matplotlib's own settings.

matplotlib takes a `matplotlibrc` of the current folder, which may be that of somebody's data: one
that sets `text.usetex` starts latex.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from importlib import import_module
from os.path import lexists
from tempfile import TemporaryDirectory


def load() -> None:
    """Import matplotlib, which reads its settings as it is imported, past the current folder's."""
    if "matplotlib" in sys.modules or not lexists("matplotlibrc"):
        return
    with TemporaryDirectory() as empty, chdir(empty):
        import_module("matplotlib")


@contextmanager
def default_style(changed: Mapping[str, object] | None = None) -> Iterator[None]:
    """Within it only what is changed differs from matplotlib's own settings."""
    load()
    from matplotlib import style

    with style.context(["default", dict(changed or {})]):
        yield
