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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from raycompare.records.run_folder import RunFolder
from raycompare.serving.http_api import (
    MOST_TEXTS,
)
from raycompare.serving.http_bodies import MOST_BYTES
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.start import require_port
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
    bodies = [
        *[{"text": "a cat"}] * 60,
        *[{"text": ["a cat"] * MOST_TEXTS}] * 10,
        *[{"text": ["x" * 1000] * MOST_TEXTS}] * 3,
        *[{"text": "a \ud83d"}, {"text": []}, {"texts": "a"}, b"{"] * 5,
    ]
    answers = asyncio.run(flood(url, bodies))
    good = Counter(a.status_code for a, body in zip(answers, bodies, strict=True) if is_good(body))
    assert set(good) == {200, 503}
    assert good[200] >= 4
    others = [a for a, body in zip(answers, bodies, strict=True) if not is_good(body)]
    assert {answer.status_code for answer in others} == {422}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["error"][0]["where"] == "server"
            assert answer.headers["Retry-After"]
    assert ask(url, {"text": TEXTS}).status_code == 200


def is_good(body: Any) -> bool:
    return isinstance(body, dict) and bool(body.get("text")) and "\ud83d" not in body["text"][-1]


async def flood(url: str, bodies: Sequence[Any]) -> list[httpx.Response]:
    """Send all requests at once."""
    limits = httpx.Limits(max_connections=len(bodies))
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        contents = (b if isinstance(b, bytes) else json.dumps(b).encode() for b in bodies)
        headers = {"Content-Type": "application/json"}
        sent = (client.post(f"{url}/predict", content=c, headers=headers) for c in contents)
        return await asyncio.gather(*sent)


@serve
@slow
def test_bodies_that_never_end_do_not_keep_others_waiting(url: str) -> None:
    host, port = "127.0.0.1", int(url.rpartition(":")[2])
    head = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    with ExitStack() as opened:
        for _ in range(230):
            slow_one = opened.enter_context(socket.create_connection((host, port)))
            slow_one.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        assert ask(url, {"text": TEXTS}).status_code == 200
        assert slow_one.recv(100).startswith(b"HTTP/1.1 408")


@serve
@slow
def test_a_model_that_cannot_be_loaded_is_told_without_a_traceback(folder: RunFolder) -> None:
    files = model_files(folder.uri, "minilm-2")
    Path(files.uri, "model.safetensors").write_bytes(b"broken")
    done = serve_in_vain(files.uri)
    assert done.returncode == 2
    assert "starting" in done.stdout
    assert "can't be loaded: SafetensorError" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@serve
@slow
def test_more_replicas_than_processors_are_refused(folder: RunFolder) -> None:
    done = serve_in_vain(folder.uri, "--replicas", "9999")
    assert done.returncode == 2
    assert "--replicas: found 9999, allowed at most" in done.stderr


def serve_in_vain(place: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raycompare", "serve", place, "--port", str(free_port())]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=280
    )


@pytest.mark.timeout(120)
def test_a_place_without_a_model_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raycompare", "serve", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 2
    assert "neither a run folder" in done.stderr
