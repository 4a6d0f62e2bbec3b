"""`rftkit push`: a run's adapter, or an exported model, on the Hugging Face hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rftkit.cli import complete
from rftkit.cli.options import progress, results, say
from rftkit.errors import Interrupted, stopped
from rftkit.messages import runnable

if TYPE_CHECKING:
    from rftkit.publish.contents import Parcel

NAMED = 5  # files that stay which the dry run names


def push(
    run: Annotated[
        Path,
        typer.Argument(
            help="a run, an adapter, or the folder of an exported model",
            autocompletion=complete.runs,
        ),
    ],
    repo: Annotated[str, typer.Argument(help="repository on the hub: NAME or ACCOUNT/NAME")],
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="push this exported model of the run in place of its adapter"
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="for everybody to see; default: private")
    ] = False,
    revision: Annotated[
        str, typer.Option(metavar="BRANCH", help="branch; made where it is not there")
    ] = "main",
    message: Annotated[str, typer.Option(help="of the commit")] = "Upload with rftkit",
    licence: Annotated[
        str,
        typer.Option(
            "--license", metavar="ID", help="of the model, e.g. apache-2.0; default: the base's"
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list what would be uploaded; needs no network")
    ] = False,
) -> None:
    """Upload a fine-tuned model to the Hugging Face hub, with a model card; no image travels.

    \b
    rftkit push out/pets pets-lora --dry-run
    rftkit push out/pets ACCOUNT/pets-lora
    """
    from rftkit.publish import contents, hub
    from rftkit.publish.card import card_text

    target = hub.Target(repo, public, revision)
    hub.check_name(repo)
    source = contents.find(run, export)

    def parcels(full_name: str) -> Sequence[Parcel]:
        return contents.parcels(source, card_text(source, full_name, licence))

    if dry_run:
        full_name = repo if "/" in repo else f"YOUR_ACCOUNT/{repo}"
        _show_plan(parcels(full_name), hub.url_of(full_name), target, contents.left_out(source))
        return
    try:
        pushed = hub.upload(parcels, target, message, progress(False))
    except (Interrupted, KeyboardInterrupt) as stop:
        raise stopped(stop, runnable(*sys.argv[1:])) from None
    done = "pushed" if pushed.changed else "nothing has changed since the last push"
    say(f"{done}: {pushed.url} ({target.visibility}, commit {pushed.commit[:7]})", results())


def _show_plan(parcels: Sequence[Parcel], url: str, target: object, stay: Sequence[str]) -> None:
    """Where it would go, each file with its size, and what would stay."""
    from rich.table import Table
    from rich.text import Text

    from rftkit.publish.hub import Target

    assert isinstance(target, Target)
    console = results()
    say(f"would go to {url} ({target.visibility}, branch {target.branch}):", console)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for parcel in parcels:
        table.add_row(Text(parcel.name), f"{parcel.size:,} bytes")
    table.add_row("together", f"{sum(parcel.size for parcel in parcels):,} bytes")
    console.print(table)
    if stay:
        more = f", and {len(stay) - NAMED} more" if len(stay) > NAMED else ""
        say(f"stay here: {', '.join(stay[:NAMED])}{more}", console)
    words = [word for word in sys.argv[1:] if word != "--dry-run"]
    say(f"nothing was uploaded; next: {runnable(*words)}", console)
