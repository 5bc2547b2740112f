"""How much of a request is taken: bytes of the body, seconds for them, depth of its JSON, number of headers.

Also what every answer carries.
"""

from __future__ import annotations

import asyncio
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.answers import problem

MOST_HEADERS = 100
MOST_DEPTH = 500
"""Levels of nesting in a body. The deepest recorded payload, a thread of Reddit, has 57; Python's parser gives up near
1,000."""

_ANSWER_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Nothing that is answered here is a page. Source: OWASP REST Security Cheat Sheet, "Security headers"."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


class Bounds:
    """Refuses requests with too many headers; gives every answer the request's id and the headers of no page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the sender's own X-Request-Id comes back when it is one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        shown = headers.get("x-request-id", "")
        request_id = shown if _REQUEST_ID.fullmatch(shown) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered["X-Request-Id"] = request_id
                for name, value in _ANSWER_HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        if len(headers) > MOST_HEADERS:
            refusal = problem(431, f"Expected at most {MOST_HEADERS} headers, got {len(headers)}.")
            await refusal(scope, receive, send_with_id)
            return
        await self.app(scope, receive, send_with_id)


async def read_bounded(request: Request, max_bytes: int, most_seconds: float) -> bytes:
    """The whole body, of which never more than `max_bytes` and one chunk is held.

    Raises:
        HTTPException: 413, from the announced length already when there is one; 408 when it takes longer than
            `most_seconds`; 400 for an empty body; 422 for JSON that is nested too deeply.
    """
    too_large = HTTPException(413, f"Expected a body of at most {max_bytes} bytes (SOULCASTER_RECEIVER_MAX_BYTES).")
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(most_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError:
        got = f"got {len(body)} bytes of it"
        raise HTTPException(
            408, f"Expected the whole body within {most_seconds:g} s (SOULCASTER_RECEIVER_BODY_SECONDS), {got}."
        ) from None
    if not body:
        raise HTTPException(400, "Expected the payload as the request's body, got none.")
    if is_too_deep(body):
        raise HTTPException(422, f"Expected JSON nested at most {MOST_DEPTH} levels deep, got more.")
    return bytes(body)


def is_too_deep(body: bytes | bytearray) -> bool:
    """Whether brackets outside of strings open more than `MOST_DEPTH` levels; whatever the body is, in linear time."""
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return False
    depth = 0
    for found in _BRACKETS.finditer(body):
        first = found[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MOST_DEPTH:
                return True
        elif first in b"]}":
            depth -= 1
    return False
