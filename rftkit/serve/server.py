"""The server: it answers until a signal comes, then what waits is answered, or told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import uvicorn
from rich.console import Console

from rftkit.errors import Interrupted
from rftkit.serve.app import build
from rftkit.serve.service import Service

BACKLOG = 256  # connections that the system holds for us


class Server(uvicorn.Server):
    """uvicorn's, which gives the queue `grace` seconds once it is to stop."""

    def __init__(self, service: Service) -> None:
        config = uvicorn.Config(
            build(service),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            backlog=BACKLOG,
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


def run(
    service: Service, listening: socket.socket, console: Console, greeting: Sequence[str]
) -> None:
    """Answer until a signal comes, then until what waits is answered or told."""
    listening.listen(BACKLOG)
    server = Server(service)
    for line in greeting:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    try:
        server.run(sockets=[listening])
    except (Interrupted, KeyboardInterrupt):
        pass  # uvicorn raises the signal again once it has stopped
    finally:
        service.close()
    console.print("stopped", highlight=False, markup=False)
