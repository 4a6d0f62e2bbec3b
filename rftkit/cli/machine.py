"""Commands about the machine: whether a recipe fits it, and what it lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rftkit.cli.options import AsJson, Override, RecipePath, results
from rftkit.errors import UserError
from rftkit.messages import printable

if TYPE_CHECKING:
    from rftkit.hardware.doctor import Finding

TONES = {"ok": "green", "warn": "bold yellow", "fail": "bold red"}


def plan(
    recipe: RecipePath,
    gpu: Annotated[
        str | None, typer.Option(help="12GB, 16GB, 24GB, t4, l4, rtx-4090, …; default: this one")
    ] = None,
    overrides: Override = [],  # noqa: B006  typer copies it
    as_json: AsJson = False,
) -> None:
    """Say how much GPU memory a recipe needs, before anything is loaded or downloaded.

    Prompts are measured on the data, where it is on this machine.
    """
    from rftkit.cli.show.plan import plan_record, refusal, show_plan
    from rftkit.hardware.backends import check_recipe, elsewhere, here_with
    from rftkit.hardware.gpus import card_of
    from rftkit.hardware.probe import first_gpu
    from rftkit.hardware.prompt_size import expected_prompt
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import load_recipe

    loaded = load_recipe(find_recipe(recipe), overrides)
    machine = None if gpu is None else elsewhere(card_of(gpu))
    if machine is None and (card := first_gpu()):
        machine = here_with(card)
    check_recipe(loaded)
    prompt = expected_prompt(loaded)
    if as_json:
        typer.echo(json.dumps(plan_record(loaded, machine, prompt), indent=2, ensure_ascii=False))
    else:
        show_plan(loaded, machine, prompt, results())
    if machine and (line := refusal(loaded, machine, prompt)):
        raise UserError(line)


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: Python, GPU, versions, disk, network, and how to fix what is wrong."""
    from rftkit.hardware.doctor import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps(_record(findings), indent=2, ensure_ascii=False))
    else:
        _show(findings)
    if failed := _failures(findings):
        raise UserError(f"{', '.join(failed)}: see above for how to fix it")


def _show(findings: Sequence[Finding]) -> None:
    """Print a line for each row, and below what is wrong the command that fixes it."""
    from rich.text import Text

    console = results()
    width = max(len(finding.name) for finding in findings)
    for row in findings:
        line = Text(f"{row.status:<4}  ", style=TONES[row.status])
        line.append(f"{row.name:<{width}}  {printable(row.detail)}", style="default")
        console.print(line, soft_wrap=True)
        if row.fix and row.status != "ok":
            console.print(Text(f"      {'':<{width}}  {printable(row.fix)}", style="bold"),
                          soft_wrap=True)  # fmt: skip


def _record(findings: Sequence[Finding]) -> dict[str, Any]:
    """For `--json`: the rows, and the worst of them."""
    worst = next((s for s in ("fail", "warn") if s in [f.status for f in findings]), "ok")
    return {"status": worst, "rows": [asdict(finding) for finding in findings]}


def _failures(findings: Sequence[Finding]) -> list[str]:
    """The names of the rows that stop a run."""
    return list(dict.fromkeys(finding.name for finding in findings if finding.status == "fail"))
