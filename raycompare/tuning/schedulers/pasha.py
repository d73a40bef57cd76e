"""Successive halving that stops when longer training no longer changes the ranking.

PASHA (Bohdal et al., ICLR 2023, https://arxiv.org/abs/2207.06940), in the order of the plan and
with pauses. Trials are paused at a cap, which is the second rung at first. Whenever another trial
of the plan reaches the cap, the trials there are ranked by their values at the cap and by those at
the rung below. If the two rankings agree, more training would not change the ranking; otherwise the
cap rises by one rung. When all trials have arrived and the rankings agree, the trials at the cap
are stopped, and the best of them wins.

Rankings agree if the value of each trial at the rung below is within a tolerance of the value of
the trial that has its rank there. The tolerance is an estimate of the noise: the 90th percentile of
the distances at the cap between trials that overtook each other at least twice. It is 0 without
such pairs, and always below the third rung.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar

from raycompare.experiment.settings import SchedulerName, TuneSpec
from raycompare.tuning.schedulers.asha import Rungs
from raycompare.tuning.schedulers.base import TrialCurve, Verdict, quantile

NOISE = Fraction(9, 10)
"""Quantile of the distances between crossing curves that counts as noise, as in the paper."""

CROSSINGS = 2
"""Number of crossings of two curves from which their distance counts as noise, as in the paper."""


class Pasha(Rungs):
    """Compares trials like `Rungs` below a cap, and pauses them at the cap.

    When the cap rises, the best 1/`reduction_factor` of the paused trials continue and the others
    are stopped; later trials are compared there as at any rung. Beyond the last rung there is no
    cap.
    """

    schedulers: ClassVar[tuple[SchedulerName, ...]] = ("pasha",)

    def __init__(self, steps: Sequence[int], tune: TuneSpec) -> None:
        """Place a rung at each of `steps`, in ascending order; a single one is the cap."""
        super().__init__(steps, tune)
        self._cap = int(len(self.steps) > 1)
        self.waits_at = self.steps[self._cap :]
        self._held: list[TrialCurve] = []
        self._distances: list[float] = []
        """Distances at the cap of paused pairs that cross `CROSSINGS` times or more; ascending."""

    def _judge(self, entry: TrialCurve, rung: int) -> None:
        if rung < self._cap:
            super()._judge(entry, rung)
            return
        self._hold(entry)
        if not self._rankings_agree():
            self._raise_cap()

    def _hold(self, entry: TrialCurve) -> None:
        for other in self._held:
            if _crossings(entry, other, self._cap) >= CROSSINGS:
                insort(self._distances, abs(entry.values[self._cap] - other.values[self._cap]))
        self._held.append(entry)
        insort(self._rungs[self._cap].peers, entry.values[self._cap])

    def _rankings_agree(self) -> bool:
        cap, below = self._cap, self._cap - 1
        if below < 0:
            return True
        # Trials that are equal at the cap keep the order that they had below.
        ranked = sorted(self._held, key=lambda entry: (entry.values[cap], entry.values[below]))
        before = sorted(entry.values[below] for entry in self._held)
        tolerance = quantile(self._distances, NOISE) if self._distances else 0.0
        moves = zip(ranked, before, strict=True)
        return all(abs(entry.values[below] - value) <= tolerance for entry, value in moves)

    def _raise_cap(self) -> None:
        state = self._rungs[self._cap]
        cut = self._cut(state.peers)
        for entry in self._held:
            state.judge(entry, entry.values[self._cap], cut)
        self._cap += 1
        self._held, self._distances = [], []

    def _decide_at(self, rung: int) -> None:
        super()._decide_at(rung)
        if rung == self._cap and self._is_complete(rung):
            for entry in self._held:
                self._rungs[rung].verdicts[entry.place] = Verdict.STOP

    def _reason(self, rung: int) -> str:
        if rung == self._cap:
            return f"the ranking had settled by {self._where(rung)}"
        return super()._reason(rung)


def _crossings(one: TrialCurve, other: TrialCurve, last: int) -> int:
    """Count how often the lead changes, over the rungs up to `last`."""
    pairs = [(one.values[rung], other.values[rung]) for rung in range(last + 1)]
    leads = [mine > theirs for mine, theirs in pairs if mine != theirs]
    return sum(before != after for before, after in pairwise(leads))
