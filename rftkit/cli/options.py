"""What the commands share: options that several take, and where they print."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rftkit.cli import complete
from rftkit.messages import printable

if TYPE_CHECKING:
    from rich.console import Console

RecipePath = Annotated[
    Path,
    typer.Argument(
        help="a recipe file, or the name of a built-in one", autocompletion=complete.recipes
    ),
]
Override = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="change a key of the recipe, e.g. method.steps=50; repeat for more",
        metavar="KEY=VALUE",
        autocompletion=complete.overrides,
    ),
]
CkptPath = Annotated[
    Path,
    typer.Option(
        "--ckpt",
        help="a run, a checkpoint, an adapter, or out/",
        autocompletion=complete.runs,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]
NewestRun = Annotated[
    Path,
    typer.Option(
        "--ckpt",
        help="a run, a checkpoint, an adapter; default: the newest run in out/",
        autocompletion=complete.runs,
    ),
]
StyleName = Literal["think", "direct", "answer-first", "adaptive", "empty-think"]

PIPED = 2000  # characters of a line that no terminal shows


def say(line: str, console: Console) -> None:
    """Print one line, however narrow the terminal; control characters are spelled out."""
    console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def progress(quiet: bool) -> Console:
    """Where progress and notes go: standard error, so that results can be piped."""
    from rich.console import Console

    return _unwrapped(Console(stderr=True, quiet=quiet, emoji=False))


def results() -> Console:
    """Where results go: standard output, as they are."""
    from rich.console import Console

    return _unwrapped(Console(emoji=False))


def _unwrapped(console: Console) -> Console:
    """In a file or a pipe a sentence stays on its line, where grep finds it."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED
    return console


def command_line() -> str:
    """The command as it was typed, for the run's record."""
    return shlex.join(["rftkit", *sys.argv[1:]])
