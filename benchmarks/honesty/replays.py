"""Reports replayed from recorded networks: of two copies of one model, and of models with a gap.

A replay draws networks and test rows, without putting any back, and asks the program's own tests.
The variance between seeds, and what networks have in common, are those of the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from benchmarks.honesty.recording import Recording
from raycompare.analysis.intervals import FinalistPredictions
from raycompare.analysis.pairwise import LEVEL, Pair, compare_pairs
from raycompare.metrics import MetricName

ROWS = 1000
"""Size of the test split of a replay."""
HALVINGS = 12
"""Bisection steps of the search for the share of rows that causes a gap of the stated size."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Two models with a known difference.

    The first is recorded. The second is its copy with other seeds; it predicts the first label for
    a random `share` of the rows.
    """

    recording: Recording
    metric: MetricName
    model: str
    seeds: int
    share: float = 0.0

    def pairs(self, replays: int, seed: int) -> Iterator[Pair]:
        """Yield what the report says of the two."""
        for number in range(replays):
            answers = self._drawn(np.random.default_rng([seed, number]))
            yield from compare_pairs(answers, ["first", "second"], self.metric)

    def _drawn(self, chance: np.random.Generator) -> FinalistPredictions:
        labels, own = self.recording.labels, self.recording.predictions[self.model]
        rows = np.sort(chance.choice(len(labels), min(ROWS, len(labels)), replace=False))
        networks = chance.permutation(len(own))[: 2 * self.seeds]
        first, second = own[networks[: self.seeds]], own[networks[self.seeds :]]
        second = np.where(chance.random(len(labels)) < self.share, 0, second)
        names = tuple(range(1, self.seeds + 1))
        predictions = {"first": first[:, rows], "second": second[:, rows]}
        return FinalistPredictions(labels[rows], predictions, dict.fromkeys(predictions, names))


@dataclass(frozen=True, kw_only=True)
class Copies:
    """How two copies of a model fared."""

    model: str
    seeds: int
    replays: int
    apart: float
    """The share of replays in which they were called different."""
    networks_differ: float | None
    """With one seed: the share in which McNemar's test tells the two networks apart."""


def of_copies(world: World, replays: int) -> Copies:
    """Replay two copies of one model under two names."""
    pairs = list(world.pairs(replays, seed=1))
    networks = [pair.networks.p < LEVEL for pair in pairs if pair.networks]
    return Copies(
        model=world.model,
        seeds=world.seeds,
        replays=replays,
        apart=fmean(pair.apart for pair in pairs),
        networks_differ=fmean(networks) if networks else None,
    )


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How a gap fared that is as large as the reports say can be seen."""

    model: str
    seeds: int
    replays: int
    share: float
    """Of the rows, always answered with the first label."""
    size: float
    """The mean difference over the replays."""
    stated: float
    """What the reports say on average can be seen."""
    found: float
    """The share of replays in which the better model was called better."""


def of_gap(world: World, replays: int) -> Gap:
    """Replay a gap of the stated size; the share of rows that makes it is sought before."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if _is_seen(replace(world, share=middle), replays) else (middle, high)
        )
    pairs = list(replace(world, share=high).pairs(replays, seed=2))
    return Gap(
        model=world.model,
        seeds=world.seeds,
        replays=replays,
        share=high,
        size=fmean(pair.difference for pair in pairs),
        stated=fmean(pair.test.detectable for pair in pairs if pair.test),
        found=fmean(pair.better == "first" for pair in pairs),
    )


def _is_seen(world: World, replays: int) -> bool:
    """Say whether the gap is as large as what the reports say can be seen."""
    pairs = list(world.pairs(replays, seed=3))
    stated = fmean(pair.test.detectable for pair in pairs if pair.test)
    return fmean(pair.difference for pair in pairs) >= stated
