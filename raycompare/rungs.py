"""Successive halving among the trials of one model, with decisions that timing can't change.

ASHA (Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934) compares a trial that reaches a rung
with those that happened to reach it before. With several workers that order is a race, and two
runs with one seed can stop different trials. Here a trial is compared with the trials *planned*
before it: the decisions are those of ASHA with a single worker, whatever the number of workers.
Where an earlier trial has not reached the rung yet, the decision waits and the trial trains on;
it is stopped at its first report after the decision is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

import numpy as np

from raycompare.metrics import Mode


class Verdict(Enum):
    """What a rung says of a trial."""

    PASS = "pass"
    STOP = "stop"
    ABSENT = "absent"
    """The trial ended, or was stopped, before it reached the rung."""
    UNKNOWN = "unknown"
    """The trial, or one planned before it, is not there yet."""


@dataclass
class _Entry:
    values: dict[int, float] = field(default_factory=dict)
    """The first value at or after each milestone, by rung."""
    ended: bool = False


def milestones(grace_period: int, reduction_factor: int, max_steps: int) -> tuple[int, ...]:
    """Return the optimizer steps of the rungs: grace_period times powers, below `max_steps`."""
    steps = []
    step = grace_period
    while step < max_steps:
        steps.append(step)
        step *= reduction_factor
    return tuple(steps)


class Rungs:
    """The rungs of one model. A trial in the best 1/`reduction_factor` of a rung passes it."""

    def __init__(self, steps: Sequence[int], reduction_factor: int, mode: Mode) -> None:
        """Place a rung at each of `steps`, in rising order."""
        self.steps = tuple(steps)
        self._factor = reduction_factor
        self._sign = 1.0 if mode == "max" else -1.0
        self._order: list[str] = []
        self._entries: dict[str, _Entry] = {}
        self._known: dict[tuple[str, int], Verdict] = {}

    def add(self, trial_id: str) -> None:
        """Add a trial; the order of these calls is the order of the plan."""
        assert trial_id not in self._entries
        self._order.append(trial_id)
        self._entries[trial_id] = _Entry()

    def record(self, trial_id: str, step: int, value: float) -> int | None:
        """Note a report; return the rung (from 0) that says stop, or None to go on."""
        values = self._entries[trial_id].values
        for rung, milestone in enumerate(self.steps):
            if step >= milestone:
                values.setdefault(rung, self._sign * value)
        return self._stopped_at(trial_id)

    def end(self, trial_id: str) -> None:
        """Note that a trial will report no more, however it ended."""
        self._entries[trial_id].ended = True

    def _stopped_at(self, trial_id: str) -> int | None:
        verdicts = (self._verdict(trial_id, rung) for rung in range(len(self.steps)))
        return next((rung for rung, v in enumerate(verdicts) if v is Verdict.STOP), None)

    def _verdict(self, trial_id: str, rung: int) -> Verdict:
        key = (trial_id, rung)
        if key not in self._known:
            verdict = self._decide(trial_id, rung)
            if verdict is Verdict.UNKNOWN:
                return verdict
            self._known[key] = verdict
        return self._known[key]

    def _decide(self, trial_id: str, rung: int) -> Verdict:
        standing = self._standing(trial_id, rung)
        if standing is not Verdict.PASS:
            return standing
        earlier = self._order[: self._order.index(trial_id)]
        standings = {other: self._standing(other, rung) for other in earlier}
        if Verdict.UNKNOWN in standings.values():
            return Verdict.UNKNOWN
        peers = [
            self._entries[other].values[rung]
            for other, standing in standings.items()
            if standing is Verdict.PASS
        ]
        return self._compare(self._entries[trial_id].values[rung], peers)

    def _standing(self, trial_id: str, rung: int) -> Verdict:
        """Say whether the trial takes part in a rung: PASS if it does."""
        below = self._verdict(trial_id, rung - 1) if rung else Verdict.PASS
        match below:
            case Verdict.STOP | Verdict.ABSENT:
                return Verdict.ABSENT
            case Verdict.UNKNOWN:
                return Verdict.UNKNOWN
            case Verdict.PASS:
                entry = self._entries[trial_id]
                if rung in entry.values:
                    return Verdict.PASS
                return Verdict.ABSENT if entry.ended else Verdict.UNKNOWN
        assert_never(below)

    def _compare(self, value: float, peers: Sequence[float]) -> Verdict:
        if not peers:
            return Verdict.PASS
        cutoff = np.percentile(peers, (1 - 1 / self._factor) * 100)
        return Verdict.STOP if value < cutoff else Verdict.PASS
