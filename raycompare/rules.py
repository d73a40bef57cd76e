"""Rules beside halving: stop below the median, and let the best k of the first rung go on."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from fractions import Fraction
from math import inf
from statistics import fmean

from raycompare.metrics import Mode
from raycompare.rungs import Entry, PlanOrderRule, Unit, Verdict, quantile

HALF = Fraction(1, 2)

MIN_SAMPLES = 3
"""Trials that a median is taken of, at the least; as many as Ray's MedianStoppingRule wants."""


class MedianStopping(PlanOrderRule):
    """Stops a trial whose best value so far is worse than the median of earlier trials.

    The rule is Vizier's (Golovin et al., KDD 2017, section 3.2.2), in the order of the plan: at
    each rung the best of a trial's values there and at the rungs below is compared with the running
    means, over the same rungs, of the trials planned before it that reached the rung. The first
    `min_samples` are never stopped, and nobody is held.
    """

    def __init__(
        self,
        steps: Sequence[int],
        mode: Mode,
        min_samples: int = MIN_SAMPLES,
        unit: Unit = "step",
    ) -> None:
        """Place a rung at each of `steps`, in rising order; `min_samples` is at least 1."""
        assert min_samples >= 1
        super().__init__(steps, mode, unit)
        self._min_samples = min_samples

    def _judge(self, entry: Entry, rung: int) -> None:
        state = self._rungs[rung]
        so_far = [entry.values[lower] for lower in range(rung + 1)]
        best = max(so_far)
        state.judge(entry, best, self._cut(state.peers))
        # Rounding can lift a mean of equal values above each of them.
        insort(state.peers, min(fmean(so_far), best))

    def _cut(self, peers: Sequence[float]) -> float:
        return quantile(peers, HALF) if len(peers) >= self._min_samples else -inf

    def _reason(self, rung: int) -> str:
        return f"worse than the median of earlier trials at {self._where(rung)}"


class TopK(PlanOrderRule):
    """Holds every trial at the first rung; once all are there, the best `k` go on to the end.

    Of equal trials the one planned first goes on. A trial that ended before the rung is not
    counted; one that fails while it is held is, so that the others do not depend on when it fails.
    """

    def __init__(self, steps: Sequence[int], k: int, mode: Mode, unit: Unit = "step") -> None:
        """Place the rung at the first of `steps`, of which there may be none; `k` is at least 1."""
        assert k >= 1
        super().__init__(steps[:1], mode, unit)
        self.waits_at = self.steps
        self._cap = 0
        self._k = k
        self._there: list[Entry] = []

    def _judge(self, entry: Entry, rung: int) -> None:
        self._there.append(entry)

    def _decide_at(self, rung: int) -> None:
        super()._decide_at(rung)
        if rung == self._cap and self._is_complete(rung):
            self._choose()

    def _choose(self) -> None:
        """Judge all at once; sorting keeps equal trials in the order of the plan."""
        best_first = sorted(self._there, key=lambda entry: -entry.values[self._cap])
        verdicts = self._rungs[self._cap].verdicts
        for rank, entry in enumerate(best_first):
            verdicts[entry.place] = Verdict.PASS if rank < self._k else Verdict.STOP
        self._cap = len(self.steps)

    def _reason(self, rung: int) -> str:
        return f"not among the best {self._k} of {len(self._there)} at {self._where(rung)}"
