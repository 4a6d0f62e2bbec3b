"""`rftkit demo`: the compare app in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def demo(
    ckpt: Annotated[
        Path | None,
        typer.Option("--ckpt", help="a run, a checkpoint, an adapter, or out/; default: newest"),
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option(help="replay a samples.jsonl, without a model")
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen at")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="port; 0 takes the first free one from 7860 on")
    ] = 0,
    auth: Annotated[str, typer.Option(help="USER:PASS that visitors must enter")] = "",
    public: Annotated[
        bool, typer.Option("--public", help="allow everyone, with tighter limits")
    ] = False,
    share: Annotated[
        bool, typer.Option("--share", help="create a public link through Gradio's servers")
    ] = False,
    engine: Annotated[
        Literal["transformers", "vllm"],
        typer.Option(help="inference engine; vllm needs a newer GPU"),
    ] = "transformers",
) -> None:
    """Compare base and fine-tuned model on an image, side by side, in a browser."""
    from rich.console import Console

    from rftkit.app.serve import ServeOptions
    from rftkit.app.serve import demo as serve

    options = ServeOptions(ckpt, recorded, host, port, auth, public, share, engine)
    serve(options, Console(stderr=True, emoji=False))
