"""How a task reads the cells of a row: the column of each role, and what a cell may hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from rftkit.answers import replies
from rftkit.core import Row
from rftkit.errors import DataError
from rftkit.messages import missing_column
from rftkit.tasks.options import Options


@dataclass(frozen=True)
class Reading:
    """How a row is read. columns: role -> column name; test: whether it is to be tested on."""

    options: Options
    columns: Mapping[str, str] = field(default_factory=dict)
    test: bool = False
    seed: int = 0

    def value(self, row: Row, role: str, default: object = None) -> object:
        """What the row has in the column of that role."""
        return row.values.get(self.columns.get(role, role), default)

    def cell(self, row: Row, role: str) -> str:
        """The cell in that column as text, "" if empty. Raises DataError as `cell_text` does."""
        return cell_text(self.value(row, role), role, row.location)

    def text(self, row: Row, role: str) -> str:
        """The cell on one line, white space collapsed. Raises DataError if it is empty."""
        wanted = self.columns.get(role, role)
        if wanted not in row.values:
            raise DataError(f"{row.location}: {missing_column(role, wanted, row.values)}")
        text = " ".join(self.cell(row, role).split())
        if not text:
            raise DataError(f"{row.location}: no {role} in column {wanted!r}; every row needs one")
        if replies.TAG.search(text) or "<|" in text or not text.isprintable():
            raise DataError(
                f"{row.location}: {role} {text[:60]!r} holds a tag or control character; reword it"
            )
        return text

    def question_id(self, row: Row) -> str:
        """The image's name, and what tells its questions apart if the row asks its own."""
        question = self.value(row, "question")
        if not question and not row.others:
            return row.image.name
        others = [other.name for other in row.others]
        asked = f"{question}{self.value(row, 'options', '')}{others or ''}"
        return f"{row.image.name}#{sha256(asked.encode()).hexdigest()[:6]}"

    def rationale(self, row: Row) -> str | None:
        """The row's written reasoning, if it has one."""
        return self.cell(row, "rationale").strip() or None


def cell_text(value: object, what: str, location: str) -> str:
    """The text of a cell: a text, or a number as it is written; "" for None.

    Raises DataError for a list, an object, NaN and infinity: as text they would become a class or
    a question that nobody meant.
    """
    if value is None:
        return ""
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise DataError(f"{location}: {what} {repr(value)[:60]} is not a text or a number; write one")
