"""`rftkit bench`: the options, the table and the file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rftkit.cli.options import AsJson, Override, RecipePath, progress, results, say
from rftkit.errors import UserError

if TYPE_CHECKING:
    from rftkit.bench.measure import Measured

GIB = 2**30
WIDTH = 125  # characters that the table needs


def bench(
    recipe: RecipePath,
    overrides: Override = [],  # noqa: B006  typer copies it
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="weights made from the model's sizes: no download"),
    ] = False,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="with --random-weights: the architecture in small")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="steps that are counted, after one")] = 2,
    seconds: Annotated[float, typer.Option(min=1, help="for all paths together")] = 300.0,
    only: Annotated[str, typer.Option(help="only paths whose name holds this")] = "",
    cap: Annotated[float, typer.Option(min=0, help="use as a GPU of so many GiB; 0: all")] = 0.0,
    plot: Annotated[
        Path | None, typer.Option(help="write a chart of the steps: .svg or .png")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a step of a recipe on this machine: time by parts, memory, by every path possible."""
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import load_recipe

    if tiny and not random_weights:
        raise UserError("--tiny: goes with --random-weights only")
    if plot and plot.suffix not in (".svg", ".png"):
        raise UserError(f"--plot {plot}: name a .svg or .png file")
    if plot and not plot.parent.is_dir():
        raise UserError(f"--plot {plot}: there is no folder {plot.parent}; make it first")
    path, console = find_recipe(recipe), progress(quiet=False)
    loaded = load_recipe(path, overrides)
    from rftkit.bench.run import BenchRequest  # loads torch, which takes seconds
    from rftkit.bench.run import bench as measure

    request = BenchRequest(loaded, random_weights, tiny, steps, seconds, only, cap)
    found: list[Measured] = []
    try:
        for one in measure(request, lambda line: say(line, console)):
            found.append(one)
    finally:  # what was measured until Ctrl-C is shown too
        if as_json:
            typer.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        elif found:
            show(found)
    if not any(one.step for one in found):
        raise UserError(f"nothing was measured: {found[0].error}")
    if plot:
        from rftkit.bench.plot import plot as draw

        draw(found, plot, f"{path.stem}: {loaded.model.name}")
        say(f"chart: {plot}", console)


def show(found: list[Measured]) -> None:
    """Print the table, a line for each path, also where the output is no terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("loads, trains, writes", no_wrap=True)
    for title in ("s/step", "rollout", "logps", "backward", "tokens/s", "eval images/s", "peak GiB",
                  "plan GiB"):  # fmt: skip
        table.add_column(title, justify="right", no_wrap=True)
    for one in found:
        seconds = (one.step, one.rollout, one.logps, one.backward)
        rates = (one.tokens_per_second, one.images_per_second)
        memory = (one.peak, one.planned)
        table.add_row(
            one.name,
            *("" if value is None else f"{value:.2f}" for value in seconds),
            *("" if value is None else f"{value:.1f}" for value in rates),
            *("" if not value else f"{value / GIB:.2f}" for value in memory),
        )
    console = results()
    console.width = max(console.width, WIDTH)
    console.print(table)
    for one in found:
        if one.error:
            console.print(Text(f"{one.name}: {one.error}"), soft_wrap=True)
