"""Worlds in which the truth is known, to replay the report's claims in.

In a simulated world, some rows are hard for all models and some for one; each training adds its
own luck to all rows and to single ones. In a recorded world, models are copies of a recorded one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from benchmarks.honesty.races import Rules
from benchmarks.honesty.recording import Recording
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.metrics import Floats, Integers, MetricName

ACCURACY = 0.85
"""Expected accuracy of the best model of a simulated world."""
HARDNESS, OWN_HARDNESS = 1.5, 0.7
"""Standard deviations of how hard a row is for all models, and for one; 1 is that of a network."""
BASELINE = "baseline"


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """The predictions of one report, and the truth about it."""

    answers: FinalistPredictions
    truth: Mapping[str, float]
    """Expected scores of the models and baselines; empty if they aren't known."""
    equals: tuple[str, ...]
    """Models and baselines that are truly equal."""
    best: str
    """A model that no other is truly better than."""


class World(Protocol):
    """A distribution of reports."""

    @property
    def rules(self) -> Rules | None:
        """How seeds are added, if their number isn't fixed."""

    @property
    def name(self) -> str:
        """How the page calls it."""

    @property
    def metric(self) -> MetricName:
        """Metric that decides."""

    def report(self, chance: np.random.Generator) -> Report:
        """Draw a report."""


@dataclass(frozen=True, kw_only=True)
class SimulatedWorld:
    """Models with the same expected score, but for a gap below the first."""

    models: int
    seeds: tuple[int, ...] = (3,)
    """Numbers of seeds of the models, in turn."""
    spread: tuple[float, ...] = (0.1,)
    """What a seed adds to all rows, as a standard deviation, of the models in turn. It moves the
    accuracy by 0.2 times as much."""
    rows: int = 1000
    labels: int = 4
    has_baseline: bool = False
    failures: float = 0.0
    """Probability that a training fails, and answers everything with one label."""
    gap: float = 0.0
    """By how much the accuracy of the first model is better than that of all others."""
    metric: MetricName = "accuracy"
    rules: Rules | None = None
    """How seeds are added, if their number isn't fixed; then `seeds` is the largest one."""

    @property
    def name(self) -> str:
        """How the page calls it."""
        seeds = self.rules.name if self.rules else f"{_listed(self.seeds)} seeds"
        parts = [f"{self.models} models", seeds]
        parts.append(f"spread {_listed(self.spread)}")
        parts += [f"{self.labels} labels"] if self.labels != type(self).labels else []
        parts += ["a baseline"] if self.has_baseline else []
        parts += [f"{self.failures:.0%} of trainings fail"] if self.failures else []
        return ", ".join(parts)

    def report(self, chance: np.random.Generator) -> Report:
        """Draw a report."""
        labels = chance.integers(0, self.labels, self.rows)
        hard = chance.normal(0, HARDNESS, self.rows)
        predictions = {
            f"m{place}": self._predict(chance, labels, hard, place) for place in range(self.models)
        }
        seeds = {name: tuple(range(1, len(own) + 1)) for name, own in predictions.items()}
        if self.has_baseline:
            # As good as the last model, and without a seed.
            last = replace(self, seeds=(1,), spread=(0.0,), failures=0.0, rules=None)
            predictions[BASELINE] = last._predict(chance, labels, hard, 1)
            seeds[BASELINE] = ()
        return Report(
            answers=FinalistPredictions(labels, predictions, seeds),
            truth={name: self._truth(name) for name in predictions},
            equals=tuple(name for name in predictions if not self.gap or name != "m0"),
            best="m0",
        )

    def _predict(
        self, chance: np.random.Generator, labels: Integers, hard: Floats, place: int
    ) -> Integers:
        seeds = self.seeds[place % len(self.seeds)]
        if self.rules:
            seeds = len(self.rules.confirm.all_seeds)
        spread = self.spread[place % len(self.spread)]
        of_model = hard + chance.normal(0, OWN_HARDNESS, self.rows)
        deviation = (HARDNESS**2 + OWN_HARDNESS**2 + spread**2 + 1) ** 0.5
        of_seed = chance.normal(0, spread, (seeds, 1))
        noise = chance.normal(0, 1, (seeds, self.rows))
        right = of_model + of_seed + noise < deviation * ndtri(self._accuracy(place))
        wrong = (labels + chance.integers(1, self.labels, right.shape)) % self.labels
        failed = chance.random((seeds, 1)) < self.failures
        return np.where(failed, 0, np.where(right, labels, wrong))

    def _accuracy(self, place: int) -> float:
        return ACCURACY - self.gap if place else ACCURACY

    def _truth(self, name: str) -> float:
        fails = 0.0 if name == BASELINE else self.failures
        accuracy = (1 - fails) * self._accuracy(int(name != "m0")) + fails / self.labels
        if self.metric == "accuracy":
            return accuracy
        return (self.labels * accuracy - 1) / (self.labels - 1)


def _listed(values: tuple[float, ...]) -> str:
    return " and ".join(f"{value:g}" for value in values)


@dataclass(frozen=True, kw_only=True)
class RecordedWorld:
    """Copies of one recorded model, each with separate networks, on a part of the rows."""

    recording: Recording
    model: str
    copies: int
    seeds: int
    rows: int = 1000
    metric: MetricName = "matthews_correlation"
    rules: Rules | None = None

    @property
    def name(self) -> str:
        """How the page calls it."""
        return f"{self.copies} copies of {self.model}, {self.seeds} seeds"

    def report(self, chance: np.random.Generator) -> Report:
        """Draw networks and rows, none of them twice."""
        labels, own = self.recording.labels, self.recording.predictions[self.model]
        rows = np.sort(chance.choice(len(labels), self.rows, replace=False))
        networks = chance.permutation(len(own))[: self.copies * self.seeds]
        parts = np.split(own[networks][:, rows], self.copies)
        predictions = {f"m{place}": part for place, part in enumerate(parts)}
        return Report(
            answers=FinalistPredictions(
                labels[rows], predictions, dict.fromkeys(predictions, tuple(range(self.seeds)))
            ),
            truth={},
            equals=tuple(predictions),
            best="m0",
        )
