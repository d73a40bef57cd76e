"""Median stopping: a trial ends if it is below the median of earlier trials."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from fractions import Fraction
from math import inf
from statistics import fmean

from raycompare.tuning.schedulers.base import Rule, TrialCurve, quantile

HALF = Fraction(1, 2)


class MedianStopping(Rule):
    """Stops a trial whose best value so far is worse than the median of earlier trials.

    The rule is Vizier's (Golovin et al., KDD 2017, section 3.2.2), in the order of the plan: at
    each rung, the trial's best value so far is compared with the running means, over the same
    rungs, of the trials planned before it that reached the rung. The first `min_samples` trials are
    never stopped, and no trial is paused.
    """

    schedulers = ("median",)
    min_samples = 3
    """Smallest number of trials to take a median of, as in Ray's MedianStoppingRule."""

    def _judge(self, entry: TrialCurve, rung: int) -> None:
        state = self._rungs[rung]
        so_far = [entry.values[lower] for lower in range(rung + 1)]
        best = max(so_far)
        state.judge(entry, best, self._cut(state.peers))
        # Rounding can lift a mean of equal values above each of them.
        insort(state.peers, min(fmean(so_far), best))

    def _cut(self, peers: Sequence[float]) -> float:
        return quantile(peers, HALF) if len(peers) >= self.min_samples else -inf

    def _reason(self, rung: int) -> str:
        return f"worse than the median of earlier trials at {self._where(rung)}"
