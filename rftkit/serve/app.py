"""The routes, as FastAPI shows them on its OpenAPI page, and what goes around every request."""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rftkit import __version__
from rftkit.serve.batching import BUG
from rftkit.serve.chat import ChatCompletion, ChatRequest
from rftkit.serve.errors import ApiError
from rftkit.serve.metrics import Metrics
from rftkit.serve.predictions import PredictForm, Predictions, PredictRequest
from rftkit.serve.service import Service

PATHS = ("/v1/predict", "/v1/chat/completions", "/v1/models", "/health", "/metrics")
ABOUT = (
    "A vision-language model fine-tuned by rftkit. `/v1/predict` asks what it was trained to "
    "answer; `/v1/chat/completions` asks anything, as OpenAI's clients do."
)
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the request is wrong; the line says what and how to fix it"},
    401: {"description": "no API key, or a wrong one"},
    413: {"description": "too many bytes, pixels or images"},
    429: {"description": "the queue is full; Retry-After says when to try again"},
    504: {"description": "not answered in time"},
}


def build(service: Service) -> FastAPI:
    """The application."""
    app = FastAPI(title="rftkit serve", version=__version__, description=ABOUT, redoc_url=None)
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(Counted, metrics=service.metrics)
    bearer = HTTPBearer(auto_error=False, description="the service's --api-key, if it has one")
    locked = [Depends(bearer), Depends(service.check_key)]
    app.add_api_route(
        PATHS[0], service.predict, methods=["POST"], dependencies=locked, summary="Ask of images",
        responses={200: {"model": Predictions}, **REFUSALS}, response_class=JSONResponse,
        openapi_extra=_body(
            {"application/json": PredictRequest, "multipart/form-data": PredictForm}
        ),
    )  # fmt: skip
    app.add_api_route(
        PATHS[1], service.chat, methods=["POST"], dependencies=locked, summary="Chat, as OpenAI's",
        responses={200: {"model": ChatCompletion}, **REFUSALS}, response_class=JSONResponse,
        openapi_extra=_body({"application/json": ChatRequest}),
    )  # fmt: skip
    for path, answers in ((PATHS[2], service.models), (PATHS[4], service.prometheus)):
        app.add_api_route(path, answers, methods=["GET"], dependencies=locked)
    app.add_api_route(PATHS[3], service.health, methods=["GET"])
    return app


class Counted:
    """Counts every request, with its status and the time to the last byte of its answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or what else the server has to say."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self.metrics.request(path, status, time.perf_counter() - start)


def _body(kinds: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI words for a body that the service reads itself, up to its limit."""
    content = {}
    for kind, model in kinds.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        content[kind] = {"schema": _inlined(schema, schema.pop("$defs", {}))}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """A schema with the parts that it points to in their place."""
    if isinstance(schema, list):
        return [_inlined(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {key: _inlined(value, parts) for key, value in schema.items() if key != "discriminator"}


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error.record(), error.status, error.headers())


async def _no_such_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    there = f"there are {', '.join(PATHS)}"
    if error.status_code == 405 and error.headers:
        there = f"it takes {error.headers['Allow']}"
    line = f"{request.method} {request.url.path}: {error.detail}; {there}"
    refusal = ApiError(error.status_code, line)
    return JSONResponse(refusal.record(), error.status_code, error.headers)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    logging.getLogger(__name__).error("a request failed", exc_info=error)
    return JSONResponse(ApiError(500, BUG, code="internal_error").record(), 500)
