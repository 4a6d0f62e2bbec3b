"""The same service as a deployment of Ray Serve: replicas on several GPUs and machines.

`application` is what a configuration file's `import_path` names; docs/serve.md has one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rftkit.errors import UserError
from rftkit.serve.options import KEY, Limits, ServeOptions

if TYPE_CHECKING:
    from fastapi import FastAPI


class Arguments(BaseModel):
    """`args` of the configuration: the options of `rftkit serve` of the same names."""

    model_config = ConfigDict(extra="forbid")

    ckpt: Path
    name: str = ""
    engine: Literal["transformers", "vllm"] = "transformers"
    free: bool = False
    abstain_at_error: float | None = None
    max_batch: int = 16
    queue: int = 128
    timeout: float = 120.0


def options_of(args: dict[str, Any]) -> ServeOptions:
    """The options of a replica, with the key of its environment. Raises UserError."""
    try:
        given = Arguments.model_validate(args)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise UserError(f"args.{where}: {fault['msg']}") from None
    return ServeOptions(
        given.ckpt,
        api_key=os.environ.get(KEY, ""),
        name=given.name,
        engine=given.engine,
        free=given.free,
        abstain_at_error=given.abstain_at_error,
        limits=Limits(queue=given.queue, batch=given.max_batch, seconds=given.timeout),
    )


def application(args: dict[str, Any]) -> Any:
    """A Ray Serve application; each replica loads the model and has a queue of its own."""
    from ray import serve

    options = options_of(args)

    def app() -> FastAPI:
        from rich.console import Console

        from rftkit.serve.app import build
        from rftkit.serve.run import opened
        from rftkit.serve.service import Service

        return build(Service(opened(options, Console(stderr=True))))

    class Replica:
        """All it does is done by the app."""

    deployment = serve.deployment(name="rftkit", max_ongoing_requests=options.limits.requests)
    return deployment(serve.ingress(app)(Replica)).bind()
