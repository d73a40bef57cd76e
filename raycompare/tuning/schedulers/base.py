"""Rules that stop trials at rungs, with decisions that timing can't change; and halving, the first.

A scheduler tells a rule what trials report, and asks where each of them stands: it trains on, it
is to end, or it waits, in a pause, for others to arrive.

ASHA (Li et al., MLSys 2020, https://arxiv.org/abs/1810.05934) compares a trial that reaches a rung
with those that happened to reach it before. With several workers that order is a race, and two
runs with one seed can stop different trials. Here a trial is compared with the trials *planned*
before it: the decisions are those of ASHA with a single worker, whatever the number of workers.
Where an earlier trial has not reached the rung yet, the decision waits and the trial trains on;
it is stopped at its first report after the decision is known.

So each rung decides in the order of the plan and stands at the first trial that it waits for. A
decision is made once and the values before it are kept sorted: the work of a report does not grow
with the number of trials. What a rule says follows from the plan and from what is known of each
trial, so a rule that is told it again, in whatever order, says the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import ClassVar, assert_never

from raycompare.experiment.settings import SchedulerName, TuneSpec
from raycompare.metrics import MODES

DEFAULT_GRACE = Fraction(1, 4)
"""Of a model's default run: where its first rung stands if the experiment does not say."""


class Decision(Enum):
    """What a rule says of a trial for now."""

    GO = "go"
    """Train on."""
    WAIT = "wait"
    """Pause at a rung of `waits_at` until others arrive."""
    STOP = "stop"
    """End; final, as every decision is."""


@dataclass(frozen=True)
class Ruling:
    """Where a trial stands."""

    say: Decision
    reason: str = ""
    """Words for the report, where it is to stop."""


class Verdict(Enum):
    """What a rung says of a trial."""

    PASS = "pass"
    STOP = "stop"
    ABSENT = "absent"
    """The trial ended, or was stopped, before it reached the rung."""
    HELD = "held"
    """The trial takes part, and is not judged yet."""
    UNKNOWN = "unknown"
    """The trial, or one planned before it, is not there yet."""


@dataclass
class TrialCurve:
    """What is known of a trial."""

    place: int
    """In the order of the plan, from 0."""
    values: dict[int, float] = field(default_factory=dict)
    """The first value at or after each milestone, by rung; higher is better."""
    ended: bool = False


@dataclass
class Rung:
    """What a rung has decided so far."""

    verdicts: list[Verdict] = field(default_factory=list)
    """Of the first trials of the plan; the next one is the trial that the rung waits for."""
    peers: list[float] = field(default_factory=list)
    """What those among them that took part are remembered by, rising."""

    def judge(self, entry: TrialCurve, value: float, cut: float) -> None:
        """Stop a trial whose value is below the cut."""
        self.verdicts[entry.place] = Verdict.STOP if value < cut else Verdict.PASS


def milestones(grace_period: int, reduction_factor: int, max_steps: int) -> tuple[int, ...]:
    """Return the optimizer steps of the rungs: grace_period times powers, below `max_steps`."""
    steps = []
    step = grace_period
    while step < max_steps:
        steps.append(step)
        step *= reduction_factor
    return tuple(steps)


def quantile(rising: Sequence[float], share: Fraction) -> float:
    """Return the value with `share` (0 to 1) of the others below it, linear between two of them."""
    below, rest = divmod((len(rising) - 1) * share, 1)
    low = rising[below]
    return low + (rising[below + 1] - low) * float(rest) if rest else low


class Rule(ABC):
    """What a scheduler asks; at each rung a rule takes the trials in the order of the plan."""

    schedulers: ClassVar[tuple[SchedulerName, ...]] = ()
    """Schedulers of the experiment file that use this rule."""
    steps: tuple[int, ...]
    """Where trials are compared, rising, in the rule's unit."""
    waits_at: tuple[int, ...] = ()
    """Those of `steps` where it may say WAIT; a trial needs a checkpoint there."""

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
        """The rung that no trial leaves unjudged; beyond the last where there is none."""

    def add(self, trial_id: str) -> None:
        """Add a trial; the order of these calls is the order of the plan."""
        assert trial_id not in self._entries
        assert not self._closed
        self._entries[trial_id] = TrialCurve(len(self._plan))
        self._plan.append(self._entries[trial_id])

    def record(self, trial_id: str, progress: int, value: float) -> None:
        """Note a report of a finite value; that of a rung is the first at or after it."""
        assert isfinite(value)
        values = self._entries[trial_id].values
        for rung, milestone in enumerate(self.steps):
            if progress >= milestone:
                values.setdefault(rung, self._sign * value)
        self._decide()

    def end(self, trial_id: str) -> None:
        """Note that a trial will report no more, however it ended."""
        self._entries[trial_id].ended = True
        self._decide()

    def close(self) -> None:
        """Note that no more trials will be added."""
        self._closed = True
        self._decide()

    def standing(self, trial_id: str) -> Ruling:
        """Say where a trial stands by now; asked at any time, at no cost that grows."""
        entry = self._entries[trial_id]
        for rung in range(len(self.steps)):
            if self._verdict(entry, rung) is Verdict.STOP:
                return Ruling(Decision.STOP, self._reason(rung))
        return Ruling(Decision.WAIT if self._waits(entry) else Decision.GO)

    @abstractmethod
    def _judge(self, entry: TrialCurve, rung: int) -> None:
        """Judge a trial that is at a rung, as all before it are or never will be; or hold it."""

    @abstractmethod
    def _reason(self, rung: int) -> str:
        """Say why a trial was stopped at a rung."""

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
        """Decide what can be decided by now; lower rungs first, the others wait for them."""
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
        """Say whether the trial takes part in a rung: HELD if it does."""
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
        """Say whether each trial of a closed plan has reached a rung, or never will."""
        return self._closed and len(self._rungs[rung].verdicts) == len(self._plan)
