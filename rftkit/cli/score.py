"""`rftkit score`: completions, or the replies that try to cheat, by the rewards of training."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rftkit.cli.options import Override, StyleName, results
from rftkit.errors import UserError
from rftkit.recipe.schema import TaskName
from rftkit.tasks import DEFAULT

if TYPE_CHECKING:
    from rftkit.preflight.attacks import Outcome


def score(
    task: Annotated[
        TaskName,
        typer.Option(help="kind of answer"),
    ] = DEFAULT.name,
    style: Annotated[StyleName, typer.Option(help="reply style")] = "think",
    rules: Annotated[
        Literal["strict", "paper"],
        typer.Option(help="scoring protocol: rftkit's, or that of the papers' code"),
    ] = "strict",
    attack: Annotated[
        Path | None, typer.Option(help="probe this recipe for reward hacking instead")
    ] = None,
    overrides: Override = [],  # noqa: B006
) -> None:
    """Score JSON lines of completions from standard input by the training rewards."""
    if attack is not None:
        _attack(attack, overrides)
        return
    from rftkit.metrics.completions import score_lines

    if isinstance(sys.stdin, io.TextIOWrapper):  # whatever the locale; bad bytes are named later
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    empty = True
    for line in score_lines(sys.stdin, task, style, rules):
        typer.echo(line)
        empty = False
    if empty:
        message = (
            "standard input: no completions; write a JSON object on each line, see docs/tasks.md"
        )
        typer.echo(message, err=True)


def _attack(recipe: Path, overrides: list[str]) -> None:
    """Print what cheap replies earn on a recipe's data; exit 1 if any earns what gold does."""
    from rftkit.data.gold_check import load_checked_splits
    from rftkit.preflight.attacks import paid_like_gold, run_attacks
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import load_recipe

    loaded = load_recipe(find_recipe(recipe), overrides)
    training, _ = load_checked_splits(loaded)
    outcomes = run_attacks(loaded, training.examples)
    _show(outcomes)
    if paid := paid_like_gold(outcomes):
        raise UserError(f"{recipe}: {', '.join(paid)} earn as much as gold; change the rewards")


def _show(outcomes: Sequence[Outcome]) -> None:
    """One line for each kind of reply: how many were tried, and what they earned on average."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("reply", "tried", "headline", "all rewards"):
        table.add_column(name, justify="left" if name == "reply" else "right")
    for outcome in outcomes:
        headline, total = f"{outcome.headline:.3f}", f"{outcome.total:.3f}"
        table.add_row(outcome.name, str(outcome.replies), headline, total)
    results().print(table)
