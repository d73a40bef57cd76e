"""Plans in rounds, each made when all trials of the round before have ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from raycompare.records.messages import TrialPlan


class Rounds:
    """An iterator over the plans of all rounds, which says when its next plan can be made."""

    def __init__(self, rounds: Iterator[Sequence[TrialPlan]]) -> None:
        """Take the next round only when the trials of the last have ended; it may be empty."""
        self._rounds = rounds
        self._waiting: deque[TrialPlan] = deque()

    def __iter__(self) -> Iterator[TrialPlan]:
        """Return itself."""
        return self

    def __next__(self) -> TrialPlan:
        """Return the next plan; only when `has_plan` for the number of live trials."""
        while not self._waiting:
            self._waiting.extend(next(self._rounds))
        return self._waiting.popleft()

    def has_plan(self, live: int) -> bool:
        """Return whether a plan, or the end, can be requested while this many trials are live."""
        return bool(self._waiting) or live == 0
