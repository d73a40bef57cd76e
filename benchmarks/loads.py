"""Loads of requests for a served model: good ones alone, and with bad and heavy ones among them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

import numpy as np

from benchmarks.page import Goal
from raycompare.formatting import count, table

OVERLOADED = 503
KINDS = ("good", "bad", "heavy")
SHARE = 0.05
"""Share of bad requests, and of heavy ones."""
MOST_SLOWDOWN = 2.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """Response times for a number of clients."""

    clients: int
    seconds: Sequence[float]
    """Response time of each successful request."""
    took: float
    """Total time in seconds."""

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.took

    def cells(self, arm: str) -> list[str]:
        """Return the row of a table."""
        p50, p95 = np.percentile(np.array(self.seconds) * 1000, [50, 95]).tolist()
        return [arm, str(self.clients), f"{self.throughput:.1f}", f"{p50:.0f}", f"{p95:.0f}"]


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A load with bad and heavy requests among the others."""

    load: Load
    """The other requests."""
    plain: Load
    """A load without bad and heavy requests, just before."""
    statuses: Mapping[str, Counter[int]]
    """Number of answers of each status, by the kind of the request."""

    @property
    def slowdown(self) -> float:
        """The p95 of the other requests, divided by that without bad and heavy ones."""
        return float(np.percentile(self.load.seconds, 95) / np.percentile(self.plain.seconds, 95))


def mixture(texts: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the kind and body of request after request."""
    drawn, good = Random(0), cycle(texts)
    long = (" ".join(texts) * (2**20 // len(" ".join(texts)) + 1))[:1_000_000]
    bad = cycle(
        [
            b'{"text": "\\ud800"}',
            b'{"text": []}',
            b'{"texts": "a"}',
            b"{",
            b"x" * 2**21,
            b'{"text": "a", "text_pair": "b"}',
        ]
    )
    heavy = cycle([{"text": list(texts[:64])}, {"text": long.encode("ascii", "ignore").decode()}])
    while True:
        share = drawn.random()
        if share < SHARE:
            yield "bad", next(bad)
        elif share < 2 * SHARE:
            yield "heavy", json.dumps(next(heavy)).encode()
        else:
            yield "good", json.dumps({"text": next(good)}).encode()


def mixed_results(mixed: Mixed) -> str:
    """Return the tables of the mixed load."""
    headers = ["", "clients", "answers/s", "p50, ms", "p95, ms"]
    rows = [mixed.plain.cells("without"), mixed.load.cells("with bad and heavy requests")]
    answers = [
        [kind, str(code), count(number)]
        for kind in KINDS
        for code, number in sorted(mixed.statuses[kind].items())
    ]
    return (
        f"Mixed load, requests of one text:\n\n{table(headers, rows)}\n\n"
        f"{table(['requests', 'status', 'answers'], answers)}"
    )


def mixed_goals(mixed: Mixed) -> list[Goal]:
    """Return what the mixed load must hold."""
    good, bad = mixed.statuses["good"], mixed.statuses["bad"]
    other = good.total() - good[200] - good[OVERLOADED]
    taken = bad.total() - bad[422] - bad[413]
    return [
        Goal(
            name="p95 with bad and heavy requests, divided by that without",
            aim=f"<= {MOST_SLOWDOWN:g}",
            measured=f"{mixed.slowdown:.2f}",
            met=mixed.slowdown <= MOST_SLOWDOWN,
        ),
        Goal(
            name="answers to good requests among them that are neither 200 nor 503",
            aim="0",
            measured=count(other),
            met=other == 0,
        ),
        Goal(
            name="answers to bad requests that are neither 422 nor 413",
            aim="0",
            measured=count(taken),
            met=taken == 0,
        ),
    ]
