"""Bodies over a connection: slow, endless, large and broken off, and how many at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from raycompare.serving import http_bodies
from raycompare.serving.http_bodies import BodyLimit

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/predict", "headers": []}


class Application:
    """Keeps the bodies that reach it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"]
        self.bodies.append(message["body"])


async def post(limit: BodyLimit, *messages: Message, hang: bool = False) -> tuple[int, str]:
    """Send messages, and then none if the client hangs; return status and body, 0 if none."""
    answers: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        assert hang
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Message) -> None:
        answers.append(message)

    await limit(SCOPE, receive, send)
    return (answers[0]["status"], answers[1]["body"].decode()) if answers else (0, "")


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize("start", [[], [part(b"{")], [part(b"{"), part(b"")]])
def test_a_slow_body_is_refused_and_holds_nothing(
    start: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_bodies, "BODY_SECONDS", 0.01)
    application = Application()
    limit = BodyLimit(application)
    status, body = asyncio.run(post(limit, *start, hang=True))
    assert status == 408
    assert "within 0.01 s" in json.loads(body)["error"][0]["allowed"]
    assert (limit._held, application.bodies) == (0, [])


def test_bodies_that_arrive_in_parts_are_passed_on_whole() -> None:
    application = Application()
    limit = BodyLimit(application)
    assert asyncio.run(post(limit, part(b"a"), part(b""), part(b"b", more=False))) == (0, "")
    assert asyncio.run(post(limit, part(b"", more=False))) == (0, "")
    assert application.bodies == [b"ab", b""]
    assert limit._held == 0


def test_a_client_that_has_gone_gets_no_answer() -> None:
    application = Application()
    limit = BodyLimit(application)
    assert asyncio.run(post(limit, part(b"a"), GONE)) == (0, "")
    assert (limit._held, application.bodies) == (0, [])


def test_all_bodies_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bodies, "MOST_HELD_BYTES", 10)
    monkeypatch.setattr(http_bodies, "BODY_SECONDS", 0.2)
    application = Application()
    limit = BodyLimit(application)

    async def go() -> tuple[Any, Any, Any]:
        slow = asyncio.create_task(post(limit, part(b"12345678"), hang=True))
        await asyncio.sleep(0)
        over = await post(limit, part(b"123", more=False))
        within = await post(limit, part(b"12", more=False))
        return await slow, over, within

    (slow, _), (over, body), (within, _) = asyncio.run(go())
    assert (slow, over, within) == (408, 503, 0)
    assert "try again later" in json.loads(body)["error"][0]["allowed"]
    assert (limit._held, application.bodies) == (0, [b"12"])
