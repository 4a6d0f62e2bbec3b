"""What a task adds to the recipe that `rftkit init` writes."""

from __future__ import annotations

from typing import NamedTuple

BOX_OPTIONS = """\
[options]
ask = "category"       # one prompt per category, or "picture": one for all of them
threshold = 0.5        # lowest IoU that is rewarded
"""


class Starter(NamedTuple):
    """columns: the roles of a table's columns that the task reads. model: the built-in model that
    walks the whole path on any machine. options: lines of TOML, the task's own table.
    """

    columns: tuple[str, ...] = ("image", "question", "answer")
    model: str = "tiny"
    options: str = ""
