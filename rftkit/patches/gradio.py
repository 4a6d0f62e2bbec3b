"""A patch of Gradio 6.31: the settings of its web server, which `launch` does not hand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from rftkit.patches import reads_global, replaced


@contextmanager
def serving_with(**settings: Any) -> Iterator[None]:
    """Within it a Gradio app that is launched has these settings of uvicorn.Config."""
    import uvicorn
    from gradio import http_server

    assert reads_global(http_server.start_server, "uvicorn"), "Gradio serves in another way"
    config = partial(uvicorn.Config, **settings)
    with replaced(http_server, "uvicorn", SimpleNamespace(Config=config)):
        yield
