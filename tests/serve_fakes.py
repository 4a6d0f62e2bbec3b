"""What the tests of the service share: an engine that a test can hold, and a real server."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fakes
import httpx
from PIL import Image

from rftkit.core import Completion, Example
from rftkit.inference.by_list import ListAnswer
from rftkit.inference.prediction import Prediction, prediction_of
from rftkit.models.policy import Decoding, Prompt
from rftkit.serve.engine import Said
from rftkit.serve.options import Limits
from rftkit.serve.predictions import Questions
from rftkit.serve.run import listen
from rftkit.serve.server import Server
from rftkit.serve.service import Served, Service
from rftkit.tasks import get_task

LABELS = tuple("0123456789")
POISON = 250  # a shade on which the engine fails
HANG = 60.0  # seconds after which a test has failed
WEB = httpx.Client(verify=False, timeout=HANG)  # one for all: each would read the certificates


def png(shade: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


def data_url(shade: int = 0) -> str:
    return "data:image/png;base64," + base64.b64encode(png(shade)).decode()


def shade_of(prompt: Prompt | Example) -> int:
    value = prompt.image.open().getpixel((0, 0))
    assert isinstance(value, tuple)
    return int(value[0])


@dataclass
class HeldEngine:
    """Answers with an image's shade, once its gate is open; notes how large its batches were."""

    gate: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    batches: list[int] = field(default_factory=list)
    decodings: list[Decoding] = field(default_factory=list)
    shown: list[Prompt] = field(default_factory=list)

    def ask(self, examples: Sequence[Example]) -> Sequence[Prediction]:
        self._held(len(examples))
        if any(shade_of(one) == POISON for one in examples):
            raise ValueError("poison")
        return [self._prediction(one) for one in examples]

    def chat(self, prompts: Sequence[Prompt], decoding: Decoding) -> Sequence[Said]:
        self._held(len(prompts))
        self.decodings.append(decoding)
        self.shown += prompts
        made = [Completion(f"shade {shade_of(one)}: {one.text}", 3, shade_of(one) != 1)
                for one in prompts]  # fmt: skip
        return [Said(one, 40 + number) for number, one in enumerate(made)]

    def _held(self, size: int) -> None:
        self.started.set()
        assert self.gate.wait(HANG), "the gate was never opened"
        self.batches.append(size)

    def _prediction(self, example: Example) -> Prediction:
        task, label = get_task("classification"), str(shade_of(example) % 10)
        attempt = task.attempt(example, "direct", Completion(label, 2))
        found = prediction_of(Path(example.image.name), task.parsed(attempt), attempt)
        chances = {one: 0.91 if one == label else 0.01 for one in LABELS}
        return Prediction(found.image, found.free_answer, attempt, by_list=ListAnswer(chances),
                          prompt_tokens=30)  # fmt: skip


@dataclass
class Running:
    """A real server in a thread of its own."""

    service: Service
    engine: HeldEngine
    server: Server
    url: str
    thread: threading.Thread

    def stop(self) -> None:
        """As a signal would, which reaches the main thread only."""
        self.server.should_exit = True

    def waits(self, prompts: int) -> None:
        """Return once so many prompts wait."""
        batcher = self.service.batcher
        assert batcher.until(lambda: batcher.depth == prompts, HANG)


@contextmanager
def running(
    limits: Limits | None = None, key: str = "", held: bool = False, head_seconds: float = HANG
) -> Iterator[Running]:
    """A service of a fake engine on a free port; held: its gate is closed."""
    engine, recipe = HeldEngine(), fakes.recipe(style="direct")
    if not held:
        engine.gate.set()
    questions = Questions(recipe, LABELS, {}, ("<image>",))
    service = Service(Served("digits", questions, engine, limits or Limits(), key))
    listening = listen("127.0.0.1", 0)
    listening.listen(256)
    server = Server(service, "127.0.0.1", head_seconds)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield Running(service, engine, server, url, thread)
    finally:
        server.should_exit = True
        engine.gate.set()
        thread.join(HANG)
        service.close()
        listening.close()
        assert not thread.is_alive(), "the server does not stop"
