"""`rftkit serve`: a fine-tuned model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rftkit.cli.options import NewestRun, progress


def serve(
    ckpt: NewestRun = Path("out"),
    host: Annotated[str, typer.Option(help="address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port; 0 takes any free one")] = 8000,
    api_key: Annotated[
        str,
        typer.Option(envvar="RFTKIT_API_KEY", help="key that clients must send", show_envvar=False),
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="allow everyone who reaches --host, without a key")
    ] = False,
    name: Annotated[str, typer.Option(help="the model's name; default: the run's folder")] = "",
    engine: Annotated[
        Literal["transformers", "vllm"],
        typer.Option(help="inference engine; vllm needs a newer GPU"),
    ] = "transformers",
    free: Annotated[
        bool, typer.Option("--free", help="answer by the free reply, not by the list")
    ] = False,
    abstain_at_error: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="leave out unsure answers: allowed error, e.g. 0.05"),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, max=1024, help="prompts in one forward; 1 answers one by one")
    ] = 16,
    queue: Annotated[
        int, typer.Option(min=1, help="prompts that may wait; more are refused with 429")
    ] = 128,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="seconds in which a request is answered, else 504")
    ] = 120.0,
    grace: Annotated[
        float, typer.Option(min=0, help="seconds for waiting requests after Ctrl-C or SIGTERM")
    ] = 30.0,
    max_mb: Annotated[
        float, typer.Option("--max-mb", min=0.001, help="megabytes of a request")
    ] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, max=48, help="megapixels of an image")
    ] = 25.0,
    max_images: Annotated[int, typer.Option(min=1, max=64, help="images in a request")] = 8,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="largest max_tokens that a chat may ask for")
    ] = 1024,
) -> None:
    """Serve a fine-tuned model over HTTP: its own API, and OpenAI's chat completions.

    \b
    rftkit serve --ckpt out/pets
    RFTKIT_API_KEY=secret rftkit serve --ckpt out/pets --host 0.0.0.0 --port 8080
    """
    from rftkit.serve.options import Limits, ServeOptions
    from rftkit.serve.run import serve as run

    limits = Limits(
        queue=queue,
        batch=max_batch,
        seconds=timeout,
        grace=grace,
        bytes=round(max_mb * 1e6),
        pixels=round(max_megapixels * 1e6),
        images=max_images,
        tokens=max_tokens,
    )
    options = ServeOptions(
        ckpt, host, port, api_key, public, name, engine, free, abstain_at_error, limits
    )
    run(options, progress(False))
