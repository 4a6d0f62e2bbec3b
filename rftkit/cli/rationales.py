"""`rftkit rationales`: reasoning from the base model itself, for a warm-up to imitate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rftkit.cli.options import AsJson, Override, RecipePath, progress, results, say
from rftkit.errors import Interrupted, stopped
from rftkit.messages import runnable


def rationales(
    recipe: RecipePath,
    out: Annotated[
        Path | None, typer.Option(help="folder; default out/<recipe name>-rationales")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=256, help="replies to each example")] = 8,
    temperature: Annotated[
        float, typer.Option(min=0.01, max=10, help="sampling temperature")
    ] = 1.0,
    keep: Annotated[
        Literal["median", "shortest", "first"],
        typer.Option(help="which of several right replies: by length, or the first"),
    ] = "median",
    overrides: Override = [],  # noqa: B006  typer copies it
    as_json: AsJson = False,
) -> None:
    """Sample replies from the base model, and keep the reasoning of right ones as training data.

    Called again it continues where it stopped.
    """
    from rftkit.rationales.run import RationalesRequest, write_rationales
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import load_recipe

    path = find_recipe(recipe)
    request = RationalesRequest(
        recipe=load_recipe(path, overrides),
        out=out or Path("out") / f"{path.stem}-rationales",
        samples=samples,
        temperature=temperature,
        keep=keep,
    )
    try:
        found = write_rationales(request, progress(False))
    except (Interrupted, KeyboardInterrupt) as stop:
        raise stopped(stop, runnable(*sys.argv[1:])) from None
    if as_json:
        typer.echo(json.dumps(found.record(), indent=2, ensure_ascii=False))
        return
    console = results()
    for line in found.lines():
        say(line, console)
    say(f"table: {found.table}", console)
    if found.kept:
        command = runnable("train", str(found.recipe), "--set", "method.warmup.steps=20")
        say(f"next: {command}", console)
