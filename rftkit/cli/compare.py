"""`rftkit compare`: runs beside each other on the same held-out images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from rftkit.cli import complete
from rftkit.cli.options import AsJson, command_line, progress, results, say
from rftkit.errors import Interrupted, stopped
from rftkit.messages import runnable


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B...",
            help="runs, checkpoints, adapters or folders of evaluations; A is the reference",
            autocompletion=complete.evaluated,
        ),
    ],
    split: Annotated[str | None, typer.Option(help="split tested on; default the recipe's")] = None,
    decode: Annotated[
        Literal["generate", "choices"] | None,
        typer.Option(
            metavar="HOW", help="answers that count: generate (free replies) or choices (the list)"
        ),
    ] = None,
    base: Annotated[
        bool, typer.Option("--base", help="put the base model of A first, as the reference")
    ] = False,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="first evaluate what has not been, or not fully")
    ] = False,
    show: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="examples of each list; default 5")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="write a page to this file")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs on the same held-out images: differences, what was fixed, what was broken.

    \b
    rftkit compare out/pets out/pets-2
    rftkit compare out/pets out/pets-2 out/pets-3 --html compare.html
    rftkit compare out/pets --base               # its base model against it
    """
    from rftkit.comparison.compare import CompareRequest, found, measured
    from rftkit.comparison.page import EACH, write_page

    request = CompareRequest(tuple(runs), split, decode, base)
    common = found(request, _evaluation(split) if evaluate else None)
    comparison = measured(common)
    if html is not None:
        write_page(html, comparison, common, EACH if show is None else show)
    if as_json:
        typer.echo(comparison.model_dump_json(indent=2))
        return
    from rftkit.cli.show.compare import LISTED, show_comparison

    console = results()
    show_comparison(comparison, console, LISTED if show is None else show)
    if html is not None:
        say(f"page: {html}", console)


def _evaluation(split: str | None) -> Callable[[Path], object]:
    """What evaluates a run or an adapter, as `rftkit eval` does."""

    def evaluate(location: Path) -> object:
        from rftkit.evaluation.run import EvalRequest, evaluate_checkpoint

        request = EvalRequest(split=split, command=command_line())
        try:
            return evaluate_checkpoint(location, request, progress(False))
        except (Interrupted, KeyboardInterrupt) as stop:
            raise stopped(stop, runnable(*sys.argv[1:])) from None

    return evaluate
