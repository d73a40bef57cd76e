"""Base of the rules that stop trials at rungs; timing does not affect their decisions.

A scheduler passes the reports of trials to a rule, which decides for each trial whether it
continues, ends, or pauses until others have arrived.

ASHA (Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934) compares a trial that reaches a rung
with those that happened to reach it before. With several workers that order is a race, and two
runs with the same seed can stop different trials. Here, a trial is compared with the trials
*planned* before it, so the decisions are those of ASHA with a single worker, for any number of
workers. If an earlier trial has not reached the rung yet, the decision is deferred while the trial
continues; the trial is stopped at its first report after the decision.

Each rung decides in the order of the plan, up to the first trial that has not reached it. Decisions
are final and earlier values are kept sorted, so the work per report does not grow with the number
of trials. The decisions depend only on the plan and on the values of each trial, not on the order
in which reports arrive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import ClassVar, assert_never

from raycompare.experiment.settings import SchedulerName, TuneSpec
from raycompare.metrics import MODES

DEFAULT_GRACE = Fraction(1, 4)
"""Default position of the first rung, as a share of the model's default run."""


class Decision(Enum):
    """A rule's current decision about a trial."""

    GO = "go"
    """Continue."""
    WAIT = "wait"
    """Pause at a rung of `waits_at` until others arrive."""
    STOP = "stop"
    """End; this decision is final."""


@dataclass(frozen=True)
class Ruling:
    """A decision with its reason."""

    decision: Decision
    reason: str = ""
    """Reason for a stop, as shown in the report."""


class Verdict(Enum):
    """The result of a trial at one rung."""

    PASS = "pass"
    STOP = "stop"
    ABSENT = "absent"
    """The trial ended, or was stopped, before it reached the rung."""
    HELD = "held"
    """The trial takes part, and is not judged yet."""
    UNKNOWN = "unknown"
    """The trial, or one planned before it, has not reached the rung yet."""


@dataclass
class TrialCurve:
    """The values of a trial at the rungs."""

    place: int
    """Position in the plan, from 0."""
    values: dict[int, float] = field(default_factory=dict)
    """The first value at or after each rung's position, keyed by rung; higher is better."""
    ended: bool = False


@dataclass
class Rung:
    """The verdicts of one rung so far."""

    verdicts: list[Verdict] = field(default_factory=list)
    """Verdicts on the first trials of the plan; the rung waits for the next one."""
    peers: list[float] = field(default_factory=list)
    """Values that later trials are compared with, ascending."""

    def judge(self, entry: TrialCurve, value: float, cut: float) -> None:
        """Stop a trial whose value is below the cut."""
        self.verdicts[entry.place] = Verdict.STOP if value < cut else Verdict.PASS


def milestones(grace_period: int, reduction_factor: int, max_steps: int) -> tuple[int, ...]:
    """Return `grace_period` times the powers of `reduction_factor`, while below `max_steps`."""
    steps = []
    step = grace_period
    while step < max_steps:
        steps.append(step)
        step *= reduction_factor
    return tuple(steps)


def quantile(rising: Sequence[float], share: Fraction) -> float:
    """Return the quantile of ascending values at `share` (0 to 1), interpolated linearly."""
    below, rest = divmod((len(rising) - 1) * share, 1)
    low = rising[below]
    return low + (rising[below + 1] - low) * float(rest) if rest else low


class Rule(ABC):
    """Decides which trials continue; judges them at each rung in the order of the plan."""

    schedulers: ClassVar[tuple[SchedulerName, ...]] = ()
    """Schedulers of the experiment file that use this rule."""
    steps: tuple[int, ...]
    """Positions of the rungs in the unit of `tune.time_attr`, ascending."""
    waits_at: tuple[int, ...] = ()
    """Positions at which a trial may have to pause, and therefore needs a checkpoint."""

    def __init__(self, steps: Sequence[int], tune: TuneSpec) -> None:
        """Place a rung at each of `steps`, in ascending order."""
        assert all(one < next_ for one, next_ in pairwise(steps))
        self.steps = tuple(steps)
        self._sign = 1.0 if MODES[tune.metric] == "max" else -1.0
        self._unit = tune.time_attr.removesuffix("s")
        self._entries: dict[str, TrialCurve] = {}
        self._plan: list[TrialCurve] = []
        self._rungs = [Rung() for _ in self.steps]
        self._closed = False
        self._cap = len(self.steps)
        """The rung that no trial passes without a verdict; beyond the last if there is none."""

    def add(self, trial_id: str) -> None:
        """Add a trial; the order of these calls is the order of the plan."""
        assert trial_id not in self._entries
        assert not self._closed
        self._entries[trial_id] = TrialCurve(len(self._plan))
        self._plan.append(self._entries[trial_id])

    def record(self, trial_id: str, rungs: Iterable[int], value: float) -> None:
        """Record a finite value for these rungs, by number; each keeps its first value."""
        assert isfinite(value)
        values = self._entries[trial_id].values
        for rung in rungs:
            values.setdefault(rung, self._sign * value)
        self._decide()

    def end(self, trial_id: str) -> None:
        """Record that a trial will not report again."""
        self._entries[trial_id].ended = True
        self._decide()

    def close(self) -> None:
        """Record that no more trials will be added."""
        self._closed = True
        self._decide()

    def standing(self, trial_id: str) -> Ruling:
        """Return the current decision about a trial, in constant time."""
        entry = self._entries[trial_id]
        for rung in range(len(self.steps)):
            if self._verdict(entry, rung) is Verdict.STOP:
                return Ruling(Decision.STOP, self._reason(rung))
        return Ruling(Decision.WAIT if self._waits(entry) else Decision.GO)

    @abstractmethod
    def _judge(self, entry: TrialCurve, rung: int) -> None:
        """Judge or hold a trial at a rung; all trials before it are there or never will be."""

    @abstractmethod
    def _reason(self, rung: int) -> str:
        """Return why a trial was stopped at a rung."""

    def _where(self, rung: int) -> str:
        return f"{self._unit} {self.steps[rung]}"

    def _verdict(self, entry: TrialCurve, rung: int) -> Verdict:
        verdicts = self._rungs[rung].verdicts
        return verdicts[entry.place] if entry.place < len(verdicts) else Verdict.UNKNOWN

    def _waits(self, entry: TrialCurve) -> bool:
        if self._cap not in entry.values:
            return False
        return self._verdict(entry, self._cap) in {Verdict.HELD, Verdict.UNKNOWN}

    def _decide(self) -> None:
        """Make all decisions that are possible now; lower rungs first, since others need them."""
        for rung in range(len(self.steps)):
            self._decide_at(rung)

    def _decide_at(self, rung: int) -> None:
        verdicts = self._rungs[rung].verdicts
        while len(verdicts) < len(self._plan):
            entry = self._plan[len(verdicts)]
            presence = self._presence(entry, rung)
            if presence is Verdict.UNKNOWN:
                break
            verdicts.append(presence)
            if presence is Verdict.HELD:
                self._judge(entry, rung)

    def _presence(self, entry: TrialCurve, rung: int) -> Verdict:
        """Return HELD if the trial takes part in a rung, else ABSENT or UNKNOWN."""
        below = self._verdict(entry, rung - 1) if rung else Verdict.PASS
        match below:
            case Verdict.STOP | Verdict.ABSENT:
                return Verdict.ABSENT
            case Verdict.HELD | Verdict.UNKNOWN:
                return Verdict.UNKNOWN
            case Verdict.PASS:
                if rung in entry.values:
                    return Verdict.HELD
                return Verdict.ABSENT if entry.ended else Verdict.UNKNOWN
        assert_never(below)

    def _is_complete(self, rung: int) -> bool:
        """Return whether each trial of a closed plan has reached a rung, or never will."""
        return self._closed and len(self._rungs[rung].verdicts) == len(self._plan)
