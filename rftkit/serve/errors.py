"""What a request is refused with: one line, in the shape of OpenAI's errors."""

from __future__ import annotations

from typing import Any

from rftkit.messages import one_line

LEFT = 499  # the client closed its connection: nobody reads it, the metrics count it


class ApiError(Exception):
    """A refusal: an HTTP status and the line that says what is wrong and how to fix it.

    param: the field that is wrong. code: a word for programs. retry_after: seconds, of a refusal
    that may be none later.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int = 0,
    ) -> None:
        line = one_line(message)
        super().__init__(line)
        self.status, self.message = status, line
        self.param = None if param is None else one_line(param)
        self.code, self.retry_after = code, retry_after

    def record(self) -> dict[str, Any]:
        """The body of the answer."""
        about = {"message": self.message, "type": _kind(self.status)}
        return {"error": {**about, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Headers that go with it."""
        found = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
