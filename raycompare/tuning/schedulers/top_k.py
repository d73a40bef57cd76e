"""Only the best k trials of the first rung continue."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.experiment.settings import TuneSpec
from raycompare.tuning.schedulers.base import Rule, TrialCurve, Verdict


class TopK(Rule):
    """Pauses every trial at the first rung; once all have arrived, the best `top_k` continue.

    In case of a tie, the trial planned first continues. A trial that ends before the rung does not
    count. A paused trial that fails does, so that the decision does not depend on when it fails.
    """

    schedulers = ("top-k-after-first-rung",)

    def __init__(self, steps: Sequence[int], tune: TuneSpec) -> None:
        """Place a rung at the first of `steps`, if there is one."""
        super().__init__(steps[:1], tune)
        self.waits_at = self.steps
        self._cap = 0
        self._k = tune.top_k
        self._arrived: list[TrialCurve] = []

    def _judge(self, entry: TrialCurve, rung: int) -> None:
        self._arrived.append(entry)

    def _decide_at(self, rung: int) -> None:
        super()._decide_at(rung)
        if rung == self._cap and self._is_complete(rung):
            self._choose()

    def _choose(self) -> None:
        """Judge all trials at once; sorting keeps equal ones in the order of the plan."""
        best_first = sorted(self._arrived, key=lambda entry: -entry.values[self._cap])
        verdicts = self._rungs[self._cap].verdicts
        for rank, entry in enumerate(best_first):
            verdicts[entry.place] = Verdict.PASS if rank < self._k else Verdict.STOP
        self._cap = len(self.steps)

    def _reason(self, rung: int) -> str:
        return f"not among the best {self._k} of {len(self._arrived)} at {self._where(rung)}"
