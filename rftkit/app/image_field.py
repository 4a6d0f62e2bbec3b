"""An image that comes in as a file that nobody has decoded yet."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like

FETCHED = "Images are uploaded here, not fetched from an address."


def _path(self: Any, payload: Any) -> str | None:
    """Where the upload is; Gradio would decode it before any limit of ours is looked at."""
    return None if payload is None else payload.path


async def _no_address(self: Any, location: Any) -> str | None:
    """The file in Gradio's own folder. Raises gr.Error for a URL, which Gradio would fetch."""
    if is_http_url_like(str(location)):
        raise gr.Error(FETCHED, print_exception=False)
    stored: str | None = await gr.Image.async_move_resource_to_block_cache(self, location)
    return stored


# Gradio's metaclass writes a .pyi file beside the source of every class that it makes: this one is
# made without it. `is_template`: in the browser it is gr.Image.
ImageField: Any = type.__new__(
    type(gr.Image),
    "ImageField",
    (gr.Image,),
    {
        "__module__": __name__,
        "__doc__": "gr.Image that hands on the path of an upload, unread.",
        "is_template": True,
        "preprocess": _path,
        "async_move_resource_to_block_cache": _no_address,
    },
)
