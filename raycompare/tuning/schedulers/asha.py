"""Successive halving: only the best trials of a rung continue."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from fractions import Fraction
from math import inf
from typing import ClassVar

from raycompare.experiment.settings import SchedulerName, TuneSpec
from raycompare.tuning.schedulers.base import Rule, TrialCurve, quantile


class Rungs(Rule):
    """Successive halving: a trial in the best 1/`reduction_factor` of a rung passes it.

    A trial is stopped if its value is below the percentile of the trials planned before it. The
    first trial is never stopped, and no trial is paused.
    """

    schedulers: ClassVar[tuple[SchedulerName, ...]] = ("asha", "pooled-asha")

    def __init__(self, steps: Sequence[int], tune: TuneSpec) -> None:
        """Place a rung at each of `steps`, in ascending order."""
        super().__init__(steps, tune)
        self._share = 1 - Fraction(1, tune.reduction_factor)

    def _judge(self, entry: TrialCurve, rung: int) -> None:
        state, value = self._rungs[rung], entry.values[rung]
        state.judge(entry, value, self._cut(state.peers))
        insort(state.peers, value)

    def _cut(self, peers: Sequence[float]) -> float:
        return quantile(peers, self._share) if peers else -inf

    def _reason(self, rung: int) -> str:
        return f"not in the best part of the rung at {self._where(rung)}"
