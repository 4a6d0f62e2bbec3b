"""A hook of mkdocs: links that leave docs/ for files of the repository become their paths."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)\s]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """`[text](../rftkit/x.py)` as "text (`rftkit/x.py`)"; a path that is its own text as code."""

    def plain(found: re.Match[str]) -> str:
        text, path = found.group(1), found.group(2).partition("#")[0]
        shown = text.strip("`")
        return f"`{path}`" if shown == path else f"{text} (`{path}`)"

    return OUTSIDE.sub(plain, markdown)
