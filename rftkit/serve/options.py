"""What the command line set: where the service listens, whom it answers, how much it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rftkit.errors import UserError
from rftkit.inference.uploads import MAX_PIXELS, Bounds
from rftkit.web.hosts import LOOPBACK

KEY = "RFTKIT_API_KEY"  # the environment's variable


@dataclass(frozen=True)
class Limits:
    """How much the service takes.

    queue: images that wait. batch: prompts in one forward. seconds: from arrival to answer.
    grace: seconds in which waiting requests are still answered once it is to stop. bytes: of a
    request. pixels: of an image. images: in a request. tokens: of a reply.
    """

    queue: int = 128
    batch: int = 16
    seconds: float = 120.0
    grace: float = 30.0
    bytes: int = 20_000_000
    pixels: int = MAX_PIXELS
    images: int = 8
    tokens: int = 1024

    @property
    def bounds(self) -> Bounds:
        """Of one image."""
        return Bounds(self.bytes, self.pixels)

    @property
    def requests(self) -> int:
        """That may be read, waiting or answered at once: each holds its bytes in memory."""
        return self.queue + 2 * self.batch


@dataclass(frozen=True)
class ServeOptions:
    """What is served, and where. port 0: any free one. name: of the model; "": of its folder."""

    ckpt: Path
    host: str = LOOPBACK[0]
    port: int = 8000
    api_key: str = field(default="", repr=False)
    public: bool = False
    name: str = ""
    engine: Literal["transformers", "vllm"] = "transformers"
    free: bool = False
    abstain_at_error: float | None = None
    limits: Limits = Limits()


def check_options(options: ServeOptions) -> None:
    """Raises UserError for a host that others reach without a key, or a key that is no header."""
    key = options.api_key
    if key and not (key.isascii() and key.isprintable() and key == key.strip()):
        raise UserError(f"--api-key or {KEY}: write it in ASCII, without spaces around it")
    if options.host not in LOOPBACK and not (key or options.public):
        raise UserError(
            f"--host {options.host}: others could use your machine; set {KEY} or --api-key, or "
            "--public for everyone"
        )
    if options.limits.images > options.limits.queue:
        raise UserError(
            f"--max-images {options.limits.images}: more than --queue {options.limits.queue} "
            "holds; raise --queue"
        )
