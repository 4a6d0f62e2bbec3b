"""A request's body, read up to a limit: JSON that is checked, or the fields of a form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from rftkit.messages import printable
from rftkit.serve.errors import LEFT, ApiError

DRAINED = 4  # times the limit, read and thrown away, so that a client hears why it is refused
FIELD_BYTES = 100_000  # of a form's text
PARTS = ("text", "image_url")  # of a message: pydantic names them on the way to their fields
WORDS = {  # pydantic's kinds of fault that it says in Python's words
    "extra_forbidden": "unknown field",
    "missing": "missing",
    "model_type": "should be an object",
    "model_attributes_type": "should be an object",
    "union_tag_not_found": f"no 'type'; there are: {', '.join(map(repr, PARTS))}",
}
T = TypeVar("T", bound=BaseModel)


class File(NamedTuple):
    """A file of a form."""

    name: str
    content: bytes


class Form(NamedTuple):
    """The fields of a form by name, in their order, and its files."""

    texts: dict[str, list[str]]
    files: list[tuple[str, File]]


async def read_body(request: Request, most: int) -> bytes:
    """The whole body. Raises ApiError above `most` bytes, or where the client has left."""
    parts, size = list[bytes](), 0
    declared = request.headers.get("content-length", "")
    over = declared.isdecimal() and int(declared) > DRAINED * most
    try:
        async for part in request.stream():
            size += len(part)
            if over or size > DRAINED * most:
                break
            if size <= most:
                parts.append(part)
            else:
                parts.clear()
    except ClientDisconnect:
        raise ApiError(LEFT, "the client closed the connection") from None
    if over or size > most:
        what = declared if over else str(size)
        raise ApiError(
            413,
            f"request: {int(what) / 1e6:.1f} MB, above the limit of {most / 1e6:.3g} MB; "
            "send fewer or smaller images",
            code="request_too_large",
        )
    return b"".join(parts)


def read_json(body: bytes, kind: type[T]) -> T:
    """The body as a checked value. Raises ApiError, naming the first field that is wrong."""
    try:
        held = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"request: not JSON ({_why(error)})", code="invalid_json") from None
    return checked(held, kind)


def checked(held: object, kind: type[T]) -> T:
    """A value of that kind. Raises ApiError, naming the first field that is wrong."""
    try:
        return kind.model_validate(held)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        fault = max(faults, key=lambda one: len(one["loc"]))  # of a union the part that fits best
        where = _where(fault["loc"], unknown=fault["type"] == "extra_forbidden")
        why = WORDS.get(fault["type"], fault["msg"])
        raise ApiError(400, f"{where or 'request'}: {why}", param=where or None) from None


async def read_form(request: Request, body: bytes, files: int) -> Form:
    """The fields of a multipart form with at most so many files. Raises ApiError for a bad one."""

    async def replay() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    whole = Request(request.scope, replay)
    try:
        async with whole.form(max_files=files, max_fields=200, max_part_size=FIELD_BYTES) as form:
            return await _fields(form)
    except (MultiPartException, HTTPException, KeyError, ValueError) as error:
        why = getattr(error, "detail", None) or getattr(error, "message", "") or error
        raise ApiError(400, f"request: not a form that can be read ({why})") from None


async def _fields(form: FormData) -> Form:
    texts, files = dict[str, list[str]](), list[tuple[str, File]]()
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.append((name, File(value.filename or "image", await value.read())))
        else:
            texts.setdefault(name, []).append(value)
    return Form(texts, files)


def _where(steps: Sequence[int | str], *, unknown: bool) -> str:
    """The way to a field, without what pydantic calls the branches of a union.

    unknown: the last step is a client's own word.
    """
    *inner, last = steps or ("",)
    named = [
        str(step)
        for before, step in zip(("", *inner), inner, strict=False)
        if not _is_branch(before, step)
    ]
    if unknown or not _is_branch(inner[-1] if inner else "", last):
        named.append(printable(str(last))[:60])
    return ".".join(filter(None, named))


def _is_branch(before: int | str, step: int | str) -> bool:
    """Whether a step names a type: of a text or a list, or of a part that a list holds."""
    of_part = isinstance(before, int) and step in PARTS
    return of_part or step == "str" or "[" in str(step)


def _why(error: Exception) -> str:
    """What is wrong with a text that is no JSON, for somebody who does not know Python."""
    if isinstance(error, json.JSONDecodeError):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number of too many digits"
