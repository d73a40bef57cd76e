"""A model behind HTTP: what it answers, what it refuses, overload, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.serving.http_api import (
    MOST_BYTES,
    MOST_TEXTS,
    PredictRequest,
    PredictResponse,
    new_app,
    require_port,
    require_width,
)
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.winner import model_files
from tests.serving.test_winner import LABELS, run_with_weights
from tests.signals import hear_ctrl_c

PATIENCE_S = 240.0
TEXTS = ["the old cat", "a rose is here"]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextmanager
def service(folder: RunFolder, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the command; yields its address once it answers, and ends it as Ctrl-C does."""
    port = free_port()
    command = [sys.executable, "-m", "raycompare", "serve", folder.uri, "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - the child does nothing else before it is replaced
    ) as started:
        try:
            await_health(url, started)
            yield url, started
        finally:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
                try:
                    started.wait(60)
                except subprocess.TimeoutExpired:
                    started.kill()


def await_health(url: str, started: subprocess.Popen[str]) -> None:
    until = monotonic() + PATIENCE_S
    while monotonic() < until:
        assert started.poll() is None, started.communicate()[0]
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            sleep(0.5)
    raise AssertionError("the service does not answer")


def end_by_sigterm(url: str, started: subprocess.Popen[str]) -> None:
    """End the service, which must leave nothing; tests/whole/test_docs_run.py ends it by Ctrl-C."""
    started.send_signal(signal.SIGTERM)
    said, _ = started.communicate(timeout=90)
    assert started.returncode == 0
    assert "Traceback" not in said
    require_port("127.0.0.1", int(url.rpartition(":")[2]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_with_weights(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def url(folder: RunFolder) -> Iterator[str]:
    """A service that one test can overload, and that answers the others as any does."""
    options = ("--max-batch", "2", "--max-queued", "4", "--wait-ms", "200")
    with service(folder, *options) as (address, _):
        yield address


def ask(url: str, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    return httpx.post(f"{url}/predict", content=content, headers=headers, timeout=60)


serve = pytest.mark.serve
slow = pytest.mark.timeout(300)


@serve
@slow
def test_the_answers_are_those_of_the_model(folder: RunFolder, url: str) -> None:
    loaded = LoadedModel.at(model_files(folder.uri))
    expected = loaded.probabilities([TEXTS])
    answered = ask(url, {"text": TEXTS})
    assert answered.status_code == 200
    for answer, row in zip(answered.json()["predictions"], expected, strict=True):
        assert list(answer["probabilities"]) == list(LABELS)
        assert list(answer["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-5)
        assert answer["label"] == LABELS[row.argmax()]
    (one,) = ask(url, {"text": TEXTS[0]}).json()["predictions"]
    assert one["probabilities"] == pytest.approx(
        answered.json()["predictions"][0]["probabilities"], abs=1e-5
    )
    pair = {"text": TEXTS[:1], "text_pair": TEXTS[1:]}
    refused = ask(url, pair)
    assert refused.status_code == 422
    (problem,) = refused.json()["error"]
    assert problem["where"] == "body.text_pair"
    assert "trained on single texts" in problem["allowed"]


@serve
@slow
def test_it_says_what_it_serves_and_how_to_ask(url: str) -> None:
    health = httpx.get(f"{url}/health", timeout=60).json()
    assert health["labels"] == list(LABELS)
    assert health["max_length"] == 8
    schema = httpx.get(f"{url}/openapi.json", timeout=60).json()
    assert set(schema["paths"]) == {"/predict", "/health"}
    page = httpx.get(f"{url}/docs", timeout=60).text
    assert "/predict" in page
    assert "http" not in page.replace("http://localhost", "").lower().replace("httpvalidation", "")


@serve
@slow
def test_what_is_refused_over_the_wire_is_told_as_json(url: str) -> None:
    assert ask(url, {"texts": ["a"]}).status_code == 422
    assert ask(url, b"x" * (MOST_BYTES + 1)).status_code == 413
    assert httpx.get(f"{url}/nothing", timeout=60).json()["error"][0]["found"] == "GET /nothing"
    assert ask(url, {"text": TEXTS}).status_code == 200


@serve
@slow
def test_more_than_it_can_take_is_answered_503_and_the_rest_is_answered(url: str) -> None:
    statuses = asyncio.run(flood(url, 80))
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 4
    assert ask(url, {"text": TEXTS}).status_code == 200


async def flood(url: str, requests: int) -> Counter[int]:
    """Send all requests at once."""
    limits = httpx.Limits(max_connections=requests)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        body = {"text": ["a cat"] * 8}
        sent = (client.post(f"{url}/predict", json=body) for _ in range(requests))
        return Counter([answer.status_code for answer in await asyncio.gather(*sent)])


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"--port: found .* which is in use by another program"):
            require_port("127.0.0.1", taken.getsockname()[1])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match=r"--host: found 203\.0\.113\.1"):
        require_port("203.0.113.1", free_port())


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


@pytest.mark.timeout(120)
def test_a_place_without_a_model_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raycompare", "serve", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 2
    assert "neither a run folder" in done.stderr
