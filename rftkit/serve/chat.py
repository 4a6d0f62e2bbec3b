"""`/v1/chat/completions`: what OpenAI's clients send, and what they get."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from rftkit.models.policy import Decoding
from rftkit.serve.engine import Said
from rftkit.serve.errors import ApiError

# what would change the reply, and is not done: field -> values that ask for nothing
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "stop": (None, []),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
}


class TextPart(BaseModel):
    """Words of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """url: a data URL; others are never fetched. detail changes nothing here."""

    url: str
    detail: str | None = None


class ImagePart(BaseModel):
    """An image of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class Message(BaseModel):
    """One message. Those of the system are read before the user's."""

    role: str
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]
    name: str | None = None


class StreamOptions(BaseModel):
    """include_usage: a last chunk counts the tokens."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class ChatRequest(BaseModel):
    """A chat completion. Without a temperature the reply is greedy, as `rftkit predict`'s is."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: list[Message] = Field(min_length=1, max_length=20)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    stop: Any = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    response_format: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    logit_bias: Any = None
    modalities: Any = None
    # what says nothing about the reply
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None


class ChatCompletion(BaseModel):
    """What comes back where nothing is streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]


class Content(NamedTuple):
    """The words and the images of a request, in their order."""

    text: str
    urls: list[str]


def content_of(request: ChatRequest) -> Content:
    """What is asked. Raises ApiError for a conversation, which no model here was trained on."""
    roles = [message.role for message in request.messages]
    wrong = [role for role in roles if role not in ("system", "developer", "user")]
    if wrong or roles.count("user") != 1:
        which = repr(wrong[0]) if wrong else f"{roles.count('user')} of them"
        raise ApiError(
            400,
            f"messages: one user message is answered, beside system messages; there is {which}. "
            "Put what the model must know into that message",
            param="messages",
        )
    texts, urls = list[str](), list[str]()
    for message in sorted(request.messages, key=lambda one: one.role == "user"):
        parts = [TextPart(type="text", text=message.content)] if isinstance(
            message.content, str
        ) else message.content  # fmt: skip
        words = [part.text for part in parts if isinstance(part, TextPart)]
        texts += filter(str.strip, ["\n".join(words)])
        urls += [part.image_url.url for part in parts if isinstance(part, ImagePart)]
    if not urls:
        line = "messages: no image; add a part of type 'image_url' with a data URL"
        raise ApiError(400, line, param="messages", code="no_image")
    return Content("\n\n".join(texts), urls)


def check_supported(request: ChatRequest) -> None:
    """Raises ApiError for a field that would change the reply, and does not here."""
    for name, nothing in UNSUPPORTED.items():
        value = getattr(request, name)
        if value not in nothing:
            said = json.dumps(value)[:60]
            raise ApiError(
                400, f"{name}: {said} is not supported here; leave it out", param=name,
                code="unsupported_parameter",
            )  # fmt: skip


GREEDY_BELOW = 0.01  # a temperature by which logits would no longer be finite numbers


def decoding_of(request: ChatRequest, usual: Decoding, most: int) -> Decoding:
    """How the reply is drawn. usual: as the model was trained. most: tokens of a reply."""
    name = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
    asked = getattr(request, name)
    if asked is not None and asked > most:
        raise ApiError(400, f"{name}: {asked}, above the limit of {most}; lower it", param=name)
    temperature = request.temperature or 0.0
    if temperature < GREEDY_BELOW:
        return Decoding(asked or usual.max_new_tokens, seed=usual.seed)
    seed = usual.seed if request.seed is None else request.seed % 2**32
    return Decoding(asked or usual.max_new_tokens, temperature, seed, request.top_p or 1.0)


def completion(said: Said, model: str) -> dict[str, Any]:
    """The answer in one piece."""
    message = {"role": "assistant", "content": said.completion.text, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": _reason(said),
        "logprobs": None,
    }
    return {**_head("chat.completion", model), "choices": [choice], "usage": usage([said])}


def chunks(said: Said, model: str, *, with_usage: bool) -> Iterator[str]:
    """The same as server-sent events: the text in one chunk, since batches end together."""
    head = _head("chat.completion.chunk", model)
    delta = {"role": "assistant", "content": said.completion.text}
    for change, reason in ((delta, None), ({}, _reason(said))):
        choice = {"index": 0, "delta": change, "finish_reason": reason, "logprobs": None}
        yield _event({**head, "choices": [choice]})
    if with_usage:
        yield _event({**head, "choices": [], "usage": usage([said])})
    yield "data: [DONE]\n\n"


def usage(made: Sequence[Said]) -> dict[str, int]:
    """Tokens read and written."""
    read = sum(one.prompt_tokens for one in made)
    written = sum(one.completion.tokens for one in made)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _head(kind: str, model: str) -> dict[str, Any]:
    name = f"chatcmpl-{uuid4().hex}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}


def _reason(said: Said) -> str:
    return "stop" if said.completion.finished else "length"


def _event(record: dict[str, Any]) -> str:
    return f"data: {json.dumps(record, ensure_ascii=False)}\n\n"
