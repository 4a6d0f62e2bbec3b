"""The server: it answers until a signal comes, then what waits is answered, or told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import uvicorn
from rich.console import Console
from starlette.responses import JSONResponse

from rftkit.errors import Interrupted
from rftkit.serve.app import build
from rftkit.serve.errors import ApiError
from rftkit.serve.service import Service
from rftkit.web.connections import HEAD_SECONDS, bounded
from rftkit.web.hosts import LOOPBACK, LocalOnly, Refusal

SPARE_SECONDS = 5.0  # after --timeout, in which a slow client is told 408 before it is cut off


class Server(uvicorn.Server):
    """uvicorn's, which gives the queue `grace` seconds once it is to stop."""

    def __init__(self, service: Service, host: str, head_seconds: float = HEAD_SECONDS) -> None:
        app = build(service)
        if host in LOOPBACK:
            app.add_middleware(LocalOnly, refused=_not_ours, keyed=bool(service.served.key))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            **bounded(service.limits.seconds + SPARE_SECONDS, head_seconds),
        )
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests; after `grace` seconds those that still wait are told."""
        batcher = self.service.batcher
        batcher.close()
        telling = asyncio.get_running_loop().call_later(
            self.service.limits.grace, batcher.tell_waiting
        )
        await super().shutdown(sockets)
        telling.cancel()


def _not_ours(refusal: Refusal) -> JSONResponse:
    error = ApiError(refusal.status, refusal.line, code=refusal.code)
    return JSONResponse(error.record(), error.status)


def run(
    service: Service, listening: socket.socket, console: Console, greeting: Sequence[str]
) -> None:
    """Answer until a signal comes, then until what waits is answered or told."""
    server = Server(service, listening.getsockname()[0])
    listening.listen(server.config.backlog)
    for line in greeting:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    try:
        server.run(sockets=[listening])
    except (Interrupted, KeyboardInterrupt):
        pass  # uvicorn raises the signal again once it has stopped
    finally:
        service.close()
    console.print("stopped", highlight=False, markup=False)
