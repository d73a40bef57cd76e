"""What the application refuses before the model is asked, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from raycompare.serving.http_api import (
    MOST_TEXTS,
    PredictRequest,
    PredictResponse,
    new_app,
    require_width,
)
from raycompare.serving.http_bodies import MOST_BYTES


def refusals(
    body: bytes, chunked: bool = False, width: int | None = None
) -> tuple[int, list[dict[str, str]]]:
    """Ask an application without a model in it."""
    app = new_app()

    @app.post("/predict")
    async def predict(question: PredictRequest) -> PredictResponse:
        require_width(question, width)
        return PredictResponse(predictions=[])

    async def parts() -> Any:
        for at in range(0, len(body), 2**16):
            yield body[at : at + 2**16]

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            headers = {"Content-Type": "application/json"}
            content = parts() if chunked else body
            return await client.post("/predict", content=content, headers=headers)

    answered = asyncio.run(go())
    return answered.status_code, answered.json().get("error", [])


@pytest.mark.parametrize(
    ("body", "where", "found", "allowed"),
    [
        ({"texts": ["a"]}, "body.text", "nothing", "Field required"),
        ({"texts": ["a"]}, "body.texts", "a list of 1", "Extra inputs are not permitted"),
        ({"text": 5}, "body.text", "5", "Input should be a valid list"),
        ({"text": []}, "body.text", "a list of 0", "at least 1 item"),
        ({"text": ["a"] * (MOST_TEXTS + 1)}, "body.text", "a list of 65", "at most 64 items"),
        ({"text": ["a", " "]}, "body.text.1", '" "', "a text that is not empty"),
        ({"text": ["a", None]}, "body.text.1", "nothing", "valid string"),
        ({"text": ["a", "b \ud83d"]}, "body.text.1", "b \\ud83d", "valid Unicode"),
        ({"text": "a", "text_pair": "\ud83d"}, "body.text_pair.0", "\\ud83d", "valid Unicode"),
        ({"te\ud83d": "a"}, "body", "te\\ud83d", "unable to parse"),
        ('{"text": "caf\xe9"}'.encode("latin-1"), "body", "bytes that are not UTF-8", "UTF-8"),
        (b"[" * 100_000, "body", "nested too deeply", "JSON in UTF-8"),
        (b'{"text": ' + b"1" * 5000 + b"}", "body", "can't be parsed", "JSON in UTF-8"),
        ({"text": "a", "text_pair": ["b", "c"]}, "body", "text", "found 2 in text_pair for 1"),
        (b"no json", "body", "invalid JSON", "JSON such as"),
        (b"", "body", "nothing", "Field required"),
    ],
)
def test_a_refusal_says_where_what_was_found_and_what_is_allowed(
    body: Any, where: str, found: str, allowed: str
) -> None:
    status, problems = refusals(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert status == 422
    (problem,) = [each for each in problems if each["where"] == where]
    assert found in problem["found"]
    assert allowed in problem["allowed"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_before_it_is_parsed(chunked: bool) -> None:
    status, (problem,) = refusals(b"x" * (MOST_BYTES + 1), chunked)
    assert status == 413
    assert "1,048,576 bytes" in problem["allowed"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_within_the_limit_arrives_whole(chunked: bool) -> None:
    body = json.dumps({"text": "a" * (MOST_BYTES - 100)}).encode()
    assert refusals(body, chunked) == (200, [])


@pytest.mark.parametrize(
    ("width", "pairs", "status"),
    [(1, True, 422), (2, False, 422), (1, False, 200), (None, True, 200)],
)
def test_a_model_gets_as_many_texts_as_it_was_trained_on(
    width: int | None, pairs: bool, status: int
) -> None:
    body = {"text": "a", **({"text_pair": "b"} if pairs else {})}
    answer, problems = refusals(json.dumps(body).encode(), width=width)
    assert answer == status
    assert [problem["where"] for problem in problems] == ["body.text_pair"] * (status == 422)


def test_a_long_value_is_not_repeated_whole() -> None:
    _, (problem,) = refusals(json.dumps({"text": {"a": "b" * 1000}}).encode())
    assert len(problem["found"]) < 70
