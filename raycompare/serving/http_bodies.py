"""Reads the body of each request before it may wait for the model: within limits, and in time."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raycompare.errors import Problem
from raycompare.serving.http_errors import OVERLOADED, TOO_LARGE, TOO_SLOW, refusal

MOST_BYTES = 2**20
"""Maximum size of a request body."""
MOST_HELD_BYTES = 64 * MOST_BYTES
"""Maximum size of all bodies that a replica holds at once."""
BODY_SECONDS = 10.0
"""Maximum time for a body to arrive."""


class BodyLimit:
    """Refuses bodies that are too large or too slow before parsing, even without a length."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limits, and pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        try:
            problem, status = await self._read(scope, receive, parts)
            if problem is not None:
                await refusal(status, [problem])(scope, receive, send)
            elif parts:
                await self._app(scope, _replay_body(b"".join(parts), receive), send)
        finally:
            self._held -= sum(map(len, parts))

    async def _read(
        self, scope: Scope, receive: Receive, parts: list[bytes]
    ) -> tuple[Problem | None, int]:
        """Add the body to `parts`, none if the client has gone; return why it is refused."""
        if _content_length(scope) > MOST_BYTES:
            return _too_large(f"{_content_length(scope):,} bytes"), TOO_LARGE
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._receive(receive, parts)
        except TimeoutError:
            return Problem(
                where="body",
                found=f"{sum(map(len, parts)):,} bytes in {BODY_SECONDS:g} s, and no end",
                allowed=f"a body that arrives within {BODY_SECONDS:g} s",
            ), TOO_SLOW

    async def _receive(self, receive: Receive, parts: list[bytes]) -> tuple[Problem | None, int]:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._held -= sum(map(len, parts))
                parts.clear()
                return None, 0
            part, more = message.get("body", b""), message.get("more_body", False)
            parts.append(part)
            size, self._held = size + len(part), self._held + len(part)
            if size > MOST_BYTES:
                return _too_large(f"more than {MOST_BYTES:,} bytes"), TOO_LARGE
            if self._held > MOST_HELD_BYTES:
                found = f"bodies of {self._held:,} bytes at once"
                allowed = f"{MOST_HELD_BYTES:,} bytes; try again later"
                return Problem(where="server", found=found, allowed=allowed), OVERLOADED
        return None, 0


def _too_large(found: str) -> Problem:
    allowed = f"{MOST_BYTES:,} bytes; split the texts into several requests"
    return Problem(where="body", found=found, allowed=allowed)


def _content_length(scope: Scope) -> int:
    lengths = (value for name, value in scope["headers"] if name == b"content-length")
    value = next(lengths, b"0")
    return int(value) if value.isdigit() else 0


def _replay_body(body: bytes, receive: Receive) -> Receive:
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
