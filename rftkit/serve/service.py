"""A request from its arrival to its answer: key, body, images, queue, record."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from rftkit.inference.prediction import Prediction
from rftkit.models.policy import Decoding
from rftkit.serve import chat as chats
from rftkit.serve.batching import Batcher
from rftkit.serve.body import read_body, read_form, read_json
from rftkit.serve.engine import Answer, Chat, Engine, Said, Work, answer
from rftkit.serve.errors import LEFT, ApiError
from rftkit.serve.images import Picture, from_base64, from_data_url, picture
from rftkit.serve.metrics import Metrics
from rftkit.serve.options import Limits
from rftkit.serve.predictions import PredictRequest, Questions, check_text, of_form
from rftkit.tasks.question import Question

DECODERS = 2  # images that are decoded at once: a large one takes 75 MB


@dataclass(frozen=True)
class Served:
    """What is served: the model's name, what it is asked, what answers. key: "" lets all in."""

    name: str
    questions: Questions
    engine: Engine
    limits: Limits = field(default_factory=Limits)
    key: str = field(default="", repr=False)


class Service:
    """Answers requests with one model. `close` lets the waiting ones finish."""

    def __init__(self, served: Served) -> None:
        self.served, self.limits, self.metrics = served, served.limits, Metrics()
        limits = served.limits
        compute = partial(answer, served.engine)
        self.batcher = Batcher(compute, limits.queue, limits.batch, self.metrics)
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="rftkit-decode")
        self._inside = 0  # requests that are read, wait or are answered
        self._started = int(time.time())

    def close(self) -> None:
        """Take no more requests; the thread ends once those that wait are answered."""
        self.batcher.close()
        self._decoders.shutdown(wait=False)

    async def check_key(self, request: Request) -> None:
        """Raises ApiError without the key, compared in a time that does not tell how much fits."""
        if not self.served.key:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not hmac.compare_digest(given.encode(), self.served.key.encode()):
            line = "wrong or missing API key; send it as 'Authorization: Bearer KEY'"
            raise ApiError(401, line, code="invalid_api_key")

    async def predict(self, request: Request) -> Response:
        """The trained question about each image."""
        start = time.perf_counter()
        async with self._admitted(start) as left:
            form, pictures = await self._in_time(self._read_predict(request), left)
            self._check_model(form.model)
            question = Question(form.question, tuple(form.option), tuple(form.ask))
            works = self.served.questions.asks(pictures, question)
            answers = await self._answers(request, works, left())
        found = [one for row in answers for one in row if isinstance(one, Prediction)]
        made = [Said(one.attempt.completion, one.prompt_tokens) for one in found]
        counted = self._counted(made)
        records = [one.record() for one in found]
        seconds = round(time.perf_counter() - start, 4)
        about = {"model": self.served.name, "predictions": records}
        return JSONResponse({**about, "usage": counted, "seconds": seconds})

    async def chat(self, request: Request) -> Response:
        """A question of the client's own, as OpenAI's clients ask it."""
        async with self._admitted(time.perf_counter()) as left:
            body = await self._in_time(read_body(request, self.limits.bytes), left)
            asked = read_json(body, chats.ChatRequest)
            self._check_model(asked.model)
            chats.check_supported(asked)
            usual = self.served.questions.recipe
            decoding = chats.decoding_of(
                asked, Decoding(usual.method.max_new_tokens, seed=usual.seed), self.limits.tokens
            )
            content = chats.content_of(asked)
            work = Chat(await self._prompt(content), decoding, seeded=asked.seed is not None)
            (said,) = await self._answers(request, [work], left())
        assert isinstance(said, Said)
        self._counted([said])
        if asked.stream:
            options = asked.stream_options or chats.StreamOptions()
            events = chats.chunks(said, self.served.name, with_usage=options.include_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        return JSONResponse(chats.completion(said, self.served.name))

    async def models(self, request: Request) -> Response:
        """The one model."""
        about = {"id": self.served.name, "object": "model", "created": self._started}
        return JSONResponse({"object": "list", "data": [{**about, "owned_by": "rftkit"}]})

    async def health(self, request: Request) -> Response:
        """Whether requests are answered; for everybody, since it says nothing else."""
        alive = self.batcher.alive
        return JSONResponse({"status": "ok" if alive else "stopping"}, 200 if alive else 503)

    async def prometheus(self, request: Request) -> Response:
        """Counts in Prometheus' text format."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @asynccontextmanager
    async def _admitted(self, start: float) -> AsyncIterator[Callable[[], float]]:
        """Counts a request in while it lasts; within it, a function says what time it has left.

        Raises ApiError where so many are inside that their bytes could fill the memory.
        """
        if self._inside >= self.limits.requests:
            line = f"{self._inside} requests are being answered; try again later"
            raise ApiError(429, line, code="queue_full", retry_after=1)
        self._inside += 1
        try:
            yield lambda: start + self.limits.seconds - time.perf_counter()
        finally:
            self._inside -= 1

    async def _in_time(self, reading: Any, left: Callable[[], float]) -> Any:
        """What was read of a request. Raises ApiError where the client sends too slowly."""
        try:
            return await asyncio.wait_for(reading, left())
        except TimeoutError:
            line = f"the request took longer than {self.limits.seconds:g} s to arrive"
            raise ApiError(408, line, code="timeout") from None

    async def _read_predict(self, request: Request) -> tuple[PredictRequest, list[Picture]]:
        body = await read_body(request, self.limits.bytes)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            form = await read_form(request, body, self.limits.images + 1)
            asked = of_form(form)
            named = [(file.content, file.name, name) for name, file in form.files]
        else:
            asked = read_json(body, PredictRequest)
            encoded = asked.encoded
            self._check_count(len(encoded))
            names = asked.names(len(encoded))
            params = ["image"] if len(encoded) == 1 and asked.image else [
                f"images.{n}" for n in range(len(encoded))
            ]  # fmt: skip
            named = [
                (from_base64(text, param), name, param)
                for text, name, param in zip(encoded, names, params, strict=True)
            ]
        self._check_count(len(named))
        return asked, [await self._decoded(*one) for one in named]

    async def _prompt(self, content: chats.Content) -> Any:
        self._check_count(len(content.urls))
        questions = self.served.questions
        check_text(content.text, "messages", questions.specials)
        pictures = [
            await self._decoded(from_data_url(url, "image_url"), "image", "image_url")
            for url in content.urls
        ]
        if not content.text and len(pictures) == 1:
            return questions.trained_prompt(pictures[0])
        if not content.text:
            raise ApiError(400, "messages: no text; write what to ask", param="messages")
        return questions.prompt(pictures, content.text)

    async def _decoded(self, content: bytes, name: str, param: str) -> Picture:
        loop = asyncio.get_running_loop()
        reading = partial(picture, content, name, self.limits.bounds, param)
        return await loop.run_in_executor(self._decoders, reading)

    async def _answers(
        self, request: Request, works: Sequence[Work], seconds: float
    ) -> list[Answer]:
        """The answer of each work. Raises ApiError after the time, or once the client has left."""
        jobs = self.batcher.submit(works)
        together = asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
        gone = asyncio.ensure_future(_left(request))
        both: set[asyncio.Future[Any]] = {together, gone}
        try:
            first, _ = await asyncio.wait(
                both, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
            )
            if together in first:
                return together.result()
        finally:
            gone.cancel()
            together.cancel()
            for job in jobs:
                self.batcher.drop(job)
        if gone in first:
            raise ApiError(LEFT, "the client closed the connection")
        line = f"no answer within {self.limits.seconds:g} s, the service's --timeout; try later"
        raise ApiError(504, line, code="timeout")

    def _check_count(self, images: int) -> None:
        if not images:
            line = "image: none; send a file, base64 or a data URL"
            raise ApiError(400, line, param="image", code="no_image")
        if images > self.limits.images:
            line = f"{images} images, above the limit of {self.limits.images}; send fewer"
            raise ApiError(413, line, code="too_many_images")

    def _check_model(self, name: str | None) -> None:
        if name is not None and name != self.served.name:
            line = f"model: {name!r} is not served here; there is {self.served.name!r}"
            raise ApiError(404, line, param="model", code="model_not_found")

    def _counted(self, made: Sequence[Said]) -> dict[str, int]:
        counted = chats.usage(made)
        self.metrics.tokens(counted["prompt_tokens"], counted["completion_tokens"])
        return counted


async def _left(request: Request) -> None:
    """Returns once the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
