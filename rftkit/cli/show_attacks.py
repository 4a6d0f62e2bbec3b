"""What `rftkit score --attack` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rftkit.preflight.attacks import Outcome

if TYPE_CHECKING:
    from rich.console import Console


def show_attacks(outcomes: Sequence[Outcome], console: Console) -> None:
    """One line for each kind of reply: how many were tried, and what they earned on average."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("reply", "tried", "headline", "all rewards"):
        table.add_column(name, justify="left" if name == "reply" else "right")
    for outcome in outcomes:
        headline, total = f"{outcome.headline:.3f}", f"{outcome.total:.3f}"
        table.add_row(outcome.name, str(outcome.replies), headline, total)
    console.print(table)
