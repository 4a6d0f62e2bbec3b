"""`rftkit check`: a recipe and its data, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from rftkit.cli.options import AsJson, Override, RecipePath, progress, results, say
from rftkit.errors import HubError, UserError
from rftkit.messages import runnable


def check(
    recipe: RecipePath,
    overrides: Override = [],  # noqa: B006
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="check the recipe, not its data")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a recipe and its data without a model: rows, gold answers, images, copies.

    \b
    rftkit check pets.toml
    rftkit check pets.toml --set data.shots=8 --json
    """
    from rftkit.cli.show.check import record, show_checked
    from rftkit.hardware import backends
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import load_recipe

    path, console = find_recipe(recipe), results()
    loaded = load_recipe(path, overrides)
    backends.check_recipe(loaded)
    if schema_only:
        say(f"{path}: the recipe is sound", console)
        return
    from rich.progress import Progress

    from rftkit.preflight.check import check

    errors = progress(False)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bars:

        def bar(images: int) -> Callable[[], None]:
            task = bars.add_task("opening images", total=images)
            return lambda: bars.advance(task)

        try:
            checked = check(loaded, bar)
        except HubError as error:
            raise HubError(f"its data were not read: {error}") from None
    if as_json:
        typer.echo(json.dumps(record(checked), ensure_ascii=False, indent=2))
    else:
        show_checked(checked, console)
    if len(checked.problems) == 1:
        raise UserError(checked.problems[0])
    if checked.problems:
        raise UserError(f"{path}: {len(checked.problems)} problems; mend them before you train")
    if not as_json:
        say(f"{path}: the recipe is sound", console)
        if loaded.data.splits[0]:
            changes = [word for change in overrides for word in ("--set", change)]
            say(f"next: {runnable('train', str(recipe), *changes)}", console)
