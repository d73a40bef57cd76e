"""Successive halving among the trials of one model, with decisions that timing can't change.

ASHA (Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934) compares a trial that reaches a rung
with those that happened to reach it before. With several workers that order is a race, and two
runs with one seed can stop different trials. Here a trial is compared with the trials *planned*
before it: the decisions are those of ASHA with a single worker, whatever the number of workers.
Where an earlier trial has not reached the rung yet, the decision waits and the trial trains on;
it is stopped at its first report after the decision is known.

So each rung decides in the order of the plan and stands at the first trial that it waits for. A
decision is made once and the values before it are kept sorted: the work of a report does not grow
with the number of trials.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from math import floor
from typing import assert_never

from raycompare.metrics import Mode

DEFAULT_GRACE = Fraction(1, 4)
"""Of a model's default run: where its first rung stands if the experiment does not say."""


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
    place: int
    """In the order of the plan, from 0."""
    values: dict[int, float] = field(default_factory=dict)
    """The first value at or after each milestone, by rung."""
    ended: bool = False


@dataclass
class _Rung:
    """What a rung has decided so far."""

    verdicts: list[Verdict] = field(default_factory=list)
    """Of the first trials of the plan; the next one is the trial that the rung waits for."""
    peers: list[float] = field(default_factory=list)
    """The values of those among them that took part, rising."""


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
        self._entries: dict[str, _Entry] = {}
        self._plan: list[_Entry] = []
        self._rungs = [_Rung() for _ in self.steps]

    def add(self, trial_id: str) -> None:
        """Add a trial; the order of these calls is the order of the plan."""
        assert trial_id not in self._entries
        self._entries[trial_id] = _Entry(len(self._plan))
        self._plan.append(self._entries[trial_id])

    def record(self, trial_id: str, step: int, value: float) -> int | None:
        """Note a report; return the rung (from 0) that says stop, or None to go on."""
        values = self._entries[trial_id].values
        for rung, milestone in enumerate(self.steps):
            if step >= milestone:
                values.setdefault(rung, self._sign * value)
        self._decide()
        return self._stopped_at(trial_id)

    def end(self, trial_id: str) -> None:
        """Note that a trial will report no more, however it ended."""
        self._entries[trial_id].ended = True
        self._decide()

    def _stopped_at(self, trial_id: str) -> int | None:
        entry = self._entries[trial_id]
        verdicts = (self._verdict(entry, rung) for rung in range(len(self.steps)))
        return next((rung for rung, v in enumerate(verdicts) if v is Verdict.STOP), None)

    def _verdict(self, entry: _Entry, rung: int) -> Verdict:
        verdicts = self._rungs[rung].verdicts
        return verdicts[entry.place] if entry.place < len(verdicts) else Verdict.UNKNOWN

    def _decide(self) -> None:
        """Decide what can be decided by now; lower rungs first, the others wait for them."""
        for number, rung in enumerate(self._rungs):
            while len(rung.verdicts) < len(self._plan):
                entry = self._plan[len(rung.verdicts)]
                verdict = self._standing(entry, number)
                if verdict is Verdict.UNKNOWN:
                    break
                if verdict is Verdict.PASS:
                    verdict = self._compare(entry.values[number], rung.peers)
                    insort(rung.peers, entry.values[number])
                rung.verdicts.append(verdict)

    def _standing(self, entry: _Entry, rung: int) -> Verdict:
        """Say whether the trial takes part in a rung: PASS if it does."""
        below = self._verdict(entry, rung - 1) if rung else Verdict.PASS
        match below:
            case Verdict.STOP | Verdict.ABSENT:
                return Verdict.ABSENT
            case Verdict.UNKNOWN:
                return Verdict.UNKNOWN
            case Verdict.PASS:
                if rung in entry.values:
                    return Verdict.PASS
                return Verdict.ABSENT if entry.ended else Verdict.UNKNOWN
        assert_never(below)

    def _compare(self, value: float, peers: Sequence[float]) -> Verdict:
        """Compare with the percentile of the earlier values, linear between two of them."""
        if not peers:
            return Verdict.PASS
        place = (len(peers) - 1) * (1 - 1 / self._factor)
        low, high = peers[floor(place)], peers[min(floor(place) + 1, len(peers) - 1)]
        return Verdict.STOP if value < low + (high - low) * (place - floor(place)) else Verdict.PASS
