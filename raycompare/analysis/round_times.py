"""How the latency of models compares, by the rounds in which they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from raycompare.records.rows import InferenceRound

CLEAR = 0.05
"""Share by which a model must take less time to be called faster; two processes with the same model
may differ by less."""
MOST_ROUNDS = 0.9
"""Share of the rounds in which it must have been faster."""


@dataclass(frozen=True)
class RoundTimes:
    """Median latencies of the models in each round."""

    rounds: Sequence[InferenceRound]

    @cached_property
    def _by_model(self) -> Mapping[str, Mapping[int, float]]:
        times: dict[str, dict[int, float]] = {}
        for row in self.rounds:
            times.setdefault(row.model, {})[row.round] = row.latency_p50_ms
        return times

    def of(self, model: str) -> Sequence[float]:
        """Return the median latency in each round, in milliseconds; empty if not recorded."""
        return list(self._by_model.get(model, {}).values())

    def is_faster(self, model: str, other: str) -> bool:
        """Return whether a model is faster than another in nearly all rounds, and clearly so."""
        ratios = self.ratios(model, other)
        wins = sum(ratio < 1 for ratio in ratios)
        return bool(ratios) and wins >= MOST_ROUNDS * len(ratios) and median(ratios) <= 1 - CLEAR

    def ratios(self, model: str, other: str) -> Sequence[float]:
        """Return the time of a model as a share of the time of another, in each common round."""
        first, second = self._by_model.get(model, {}), self._by_model.get(other, {})
        return [first[number] / second[number] for number in first if number in second]

    def fastest(self, models: Iterable[str]) -> list[str]:
        """Return the models that no other of them is faster than; none if one has no rounds."""
        names = list(models)
        if not all(map(self.of, names)):
            return []
        return [name for name in names if not any(self.is_faster(n, name) for n in names)]

    def count_late(self, model: str, limit_ms: float) -> int:
        """Return the number of rounds in which the 95th percentile of a model is above a limit."""
        own = (row for row in self.rounds if row.model == model)
        return sum(row.latency_p95_ms > limit_ms for row in own)
