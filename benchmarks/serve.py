"""How fast `raycompare serve` answers on loopback, batched and not, and what it does when flooded.

    python -m benchmarks.serve

The model is two layers of MiniLM with a new head: speed does not depend on what was learned.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep
from typing import Annotated

import httpx
import numpy as np
import typer

from benchmarks.ag_news import Quick, minilm, other_load, run_app, say
from benchmarks.loads import KINDS, OVERLOADED, Load, Mixed, mixed_goals, mixed_results, mixture
from benchmarks.page import Goal, Page
from raycompare.data.docstrings import read_docstrings
from raycompare.errors import RunError
from raycompare.formatting import count, table
from raycompare.models.pretrained import build_model
from raycompare.models.saved import save_model

app = typer.Typer(pretty_exceptions_enable=False)

MAX_LENGTH, MAX_BATCH = 128, 32
LABELS = ("numpy", "pandas", "scikit-learn", "scipy")
CONCURRENCIES = (1, 4, 16, 32)
START_SECONDS = 300.0
JSON = {"Content-Type": "application/json"}

METHOD = """
Two layers of all-MiniLM-L6-v2 with a head for {labels} labels, docstrings of `builtin:docstrings`
truncated to {length} tokens, one text per request, one replica on one CPU. `raycompare serve` runs
in a separate process, once with `--max-batch {batch} --wait-ms 5` and once with `--max-batch 1
--max-queued 100`, like a server without batching. This many clients send requests at the same time,
each of them the next one as soon as it gets a response, for {seconds:g} s after {warm:g} s of
warm-up. They are coroutines of one process on the same machine (httpx), which uses a part of its
processors. Times are measured by the clients with `perf_counter`. For the overload, {flood}
requests are sent at once; the service keeps texts of 6 batches.

For the mixed load, {clients} clients send requests of which 5 % are bad and 5 % heavy, drawn with a
seed. Bad ones are, in turn, half of a surrogate pair, an empty list, an unknown field, broken JSON,
a body of 2 MiB, and a pair. Heavy ones are, in turn, 64 texts and one text of 1 MB. Times are those
of the other requests that were answered with 200. The load without them is measured just before.
"""


@app.command()
def main(
    quick: Quick = False,
    seconds: Annotated[float, typer.Option(help="Of each load.")] = 10.0,
    port: int = 8123,
) -> None:
    """Load and overload a service on loopback, and write the page."""
    load = other_load()
    spent, flood = (1.0, 400) if quick else (seconds, 600)
    texts = read_docstrings()[0][:500]
    with TemporaryDirectory() as folder:
        _save(Path(folder))
        with _service(folder, port, "--max-batch", "1", "--max-queued", "100") as url:
            alone = asyncio.run(_loads(url, texts, spent, CONCURRENCIES))
        with _service(folder, port, "--max-batch", str(MAX_BATCH)) as url:
            batched = asyncio.run(_loads(url, texts, spent, CONCURRENCIES))
            flooded = asyncio.run(_flood(url, texts, flood))
            (after,) = asyncio.run(_loads(url, texts, spent, (1,)))
            mixed = asyncio.run(_mix_loads(url, texts, spent, CONCURRENCIES[-1]))
    method = METHOD.format(
        labels=len(LABELS),
        length=MAX_LENGTH,
        batch=MAX_BATCH,
        seconds=spent,
        warm=spent / 4,
        flood=count(flood),
        clients=CONCURRENCIES[-1],
    )
    Page(
        name="serve-quick" if quick else "serve",
        title="A model behind HTTP",
        command=" ".join(["python -m benchmarks.serve", *sys.argv[1:]]),
        method=f"{method}\n{load}",
        results=f"{_results(alone, batched, flooded, after)}\n\n{mixed_results(mixed)}",
        goals=[*_goals(alone, batched, flooded, flood), *mixed_goals(mixed)],
    ).write()


def _save(folder: Path) -> None:
    spec = minilm(2)
    save_model(build_model(spec, LABELS, {}), spec, folder, MAX_LENGTH)


@contextmanager
def _service(folder: str, port: int, *options: str) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "raycompare", "serve", folder, "--port", str(port), *options]
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as started:
        try:
            _await(url, started)
            yield url
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(120)


def _await(url: str, started: subprocess.Popen[bytes]) -> None:
    until = monotonic() + START_SECONDS
    while monotonic() < until and started.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            sleep(0.5)
    raise RunError(f"{url} does not answer; the service says why on standard error")


async def _loads(
    url: str, texts: Sequence[str], seconds: float, clients: Sequence[int]
) -> list[Load]:
    loads = []
    for number in clients:
        await _load(url, texts, seconds / 4, number)
        loads.append(await _load(url, texts, seconds, number))
        say(f"{number} clients: {loads[-1].throughput:.1f} answers/s")
    return loads


async def _load(url: str, texts: Sequence[str], seconds: float, clients: int) -> Load:
    asked, times = cycle(texts), list[float]()
    began = perf_counter()

    async def client(connection: httpx.AsyncClient) -> None:
        while perf_counter() - began < seconds:
            sent = perf_counter()
            answer = await connection.post(f"{url}/predict", json={"text": next(asked)})
            answer.raise_for_status()
            times.append(perf_counter() - sent)

    async with _connections(clients) as connection:
        await asyncio.gather(*(client(connection) for _ in range(clients)))
    return Load(clients=clients, seconds=times, took=perf_counter() - began)


async def _mix_loads(url: str, texts: Sequence[str], seconds: float, clients: int) -> Mixed:
    (plain,) = await _loads(url, texts, seconds, (clients,))
    await _mix(url, texts, seconds / 4, clients)
    mixed = await _mix(url, texts, seconds, clients)
    return replace(mixed, plain=plain)


async def _mix(url: str, texts: Sequence[str], seconds: float, clients: int) -> Mixed:
    sent, times = mixture(texts), list[float]()
    statuses = {kind: Counter[int]() for kind in KINDS}
    began = perf_counter()

    async def client(connection: httpx.AsyncClient) -> None:
        while perf_counter() - began < seconds:
            kind, body = next(sent)
            at = perf_counter()
            answer = await connection.post(f"{url}/predict", content=body, headers=JSON)
            statuses[kind][answer.status_code] += 1
            if (kind, answer.status_code) == ("good", 200):
                times.append(perf_counter() - at)

    async with _connections(clients) as connection:
        await asyncio.gather(*(client(connection) for _ in range(clients)))
    load = Load(clients=clients, seconds=times, took=perf_counter() - began)
    return Mixed(load=load, plain=load, statuses=statuses)


def _connections(number: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=number))


async def _flood(url: str, texts: Sequence[str], requests: int) -> Counter[int]:
    async with _connections(requests) as connection:
        asked = zip(range(requests), cycle(texts), strict=False)
        sent = (connection.post(f"{url}/predict", json={"text": text}) for _, text in asked)
        return Counter([answer.status_code for answer in await asyncio.gather(*sent)])


def _results(
    alone: Sequence[Load], batched: Sequence[Load], flooded: Mapping[int, int], after: Load
) -> str:
    rows = [load.cells("one by one") for load in alone]
    rows += [load.cells(f"batches of up to {MAX_BATCH}") for load in batched]
    headers = ["", "clients", "answers/s", "p50, ms", "p95, ms"]
    answered = table(
        ["status", "answers"], [[str(code), count(n)] for code, n in sorted(flooded.items())]
    )
    (p50,) = np.percentile(np.array(after.seconds) * 1000, [50]).tolist()
    return (
        f"{table(headers, rows)}\n\nOverload:\n\n{answered}\n\nAfter the overload one client has a "
        f"p50 of {p50:.0f} ms."
    )


def _goals(
    alone: Sequence[Load], batched: Sequence[Load], flooded: Mapping[int, int], flood: int
) -> list[Goal]:
    gain = batched[-1].throughput / alone[-1].throughput
    other = flood - flooded.get(200, 0) - flooded.get(OVERLOADED, 0)
    most = CONCURRENCIES[-1]
    return [
        Goal(
            name=f"times the answers/s of one by one, {most} clients",
            aim="> 1",
            measured=f"{gain:.2f}",
            met=gain > 1,
        ),
        Goal(
            name="answers to a flood, some of them 503, that are neither 200 nor 503",
            aim="0",
            measured=count(other),
            met=other == 0 and flooded.get(OVERLOADED, 0) > 0,
        ),
    ]


if __name__ == "__main__":
    run_app(app)
