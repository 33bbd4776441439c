"""One question to an OpenAI-compatible endpoint: time limits, retries, and a key that is never shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""Statuses after which the same request may succeed."""
LONGEST_WAIT_S = 60.0
LARGEST_REPLY = 2**22
"""Bytes of a reply that are read at most."""

Message = Mapping[str, str]


class RefusedError(Exception):
    """The endpoint will not answer this request however often it is asked: a wrong key, model or address."""


class NoReplyError(Exception):
    """The endpoint gave no usable reply to one question, after all retries."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to another host, so it is an error."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request follows."""


@dataclass(frozen=True)
class Chat:
    """An endpoint, such as `http://localhost:8000/v1`, and one of its models; `key` is shown nowhere."""

    endpoint: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    retries: int = 5
    temperature: float | None = 0.0
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """What is sent, the key aside."""
        asked: dict[str, Any] = {"model": self.model, "messages": [dict(one) for one in messages]}
        return asked if self.temperature is None else {**asked, "temperature": self.temperature}

    def ask(self, messages: Sequence[Message]) -> str:
        """The model's text. Raises RefusedError, and NoReplyError when all retries have failed."""
        problem = ""
        for attempt in range(self.retries + 1):
            try:
                return self._once(messages)
            except HTTPError as error:
                problem, wait = self._said(error), _asked_wait(error)
                if error.code not in PASSING:
                    raise RefusedError(problem) from None
            except (URLError, OSError, HTTPException, ValueError) as error:
                problem, wait = self.hidden(str(error) or type(error).__name__), None
            if attempt < self.retries:
                self.pause(min(LONGEST_WAIT_S, 0.5 * 2**attempt) if wait is None else wait)
        raise NoReplyError(f"{problem}; asked {self.retries + 1} times")

    def hidden(self, text: str) -> str:
        """A text without the key, which endpoints like to repeat in their errors."""
        key = (self.key or "").strip()
        return text.replace(key, "…") if key else text

    def _once(self, messages: Sequence[Message]) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key and self.key.strip():
            headers["Authorization"] = f"Bearer {_printable(self.key)}"
        data = json.dumps(self.body(messages)).encode()
        request = Request(address(self.endpoint), data, headers, method="POST")  # noqa: S310 - http(s) alone
        with build_opener(_NoRedirect).open(request, timeout=self.timeout_s) as reply:
            return self.hidden(_text(reply.read(LARGEST_REPLY)))

    def _said(self, error: HTTPError) -> str:
        with error:
            body = error.read(2000).decode("utf-8", "replace")
        return self.hidden(f"{error.code} {error.reason}: {' '.join(body.split())[:300]}")


def _printable(key: str) -> str:
    """The key as a header takes it. Raises RefusedError where it has other characters."""
    if not (key.isascii() and key.strip().isprintable()):
        raise RefusedError("the key has characters that no header can hold")
    return key.strip()


def address(endpoint: str) -> str:
    """Where questions go. Raises RefusedError where the endpoint is no http or https address."""
    problem = unfit(endpoint)
    if problem:
        raise RefusedError(problem)
    return endpoint.rstrip("/") + "/chat/completions"


def unfit(endpoint: str) -> str | None:
    """What is wrong with an endpoint's address, or None."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{endpoint} is not an address that begins with http:// or https://"
    if parts.username or parts.password or parts.query:
        return "the address holds a name, a password or a query, which would stand in the plan"
    return None


def _asked_wait(error: HTTPError) -> float | None:
    """The seconds that `Retry-After` asks for, at most a minute; None where it says nothing or a date."""
    stated = error.headers.get("Retry-After", "") if error.headers else ""
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(stated)))
    except ValueError:
        return None


def _text(body: bytes) -> str:
    """The first choice's text. Raises ValueError where the reply is no chat completion."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError("the reply is not a chat completion") from error
    if not isinstance(content, str):
        raise ValueError("the reply has no text")  # noqa: TRY004 - a reply, not an argument
    return content
