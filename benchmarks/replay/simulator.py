"""A simulated clock and n workers that drive a real scheduler of Tune with recorded curves.

The scheduler gets the calls that Tune would make, in the order of the simulated clock: for every
trial added, each report and each end. After each of them it chooses which trial starts or
continues. Reports that arrive at the same instant are passed on in plan order.

A paused trial frees its worker and later continues from the same step. In reality, that requires a
checkpoint and another start of the trial; here, neither takes time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from benchmarks.replay.curves import Curve, Pace
from raycompare.records.messages import TrialPlan
from raycompare.tuning.searcher import PLAN, config_of, pack

STEP = "step"
"""The key of a result that counts optimizer steps; a scheduler's `time_attr`."""


@dataclass(frozen=True)
class Timeline:
    """What a trial reports, and when, if nothing stops it."""

    results: tuple[dict[str, Any], ...]
    """Both in this program's words, a message, and in Ray's, one key per metric."""
    steps: tuple[int, ...]
    """Optimizer steps at each report."""
    seconds: tuple[float, ...]
    """Between the trial's start and each report; nothing but training and evaluation."""

    @classmethod
    def of(cls, curve: Curve, pace: Pace) -> Timeline:
        """Lay a curve out in time, at the pace of its model instead of the run's own.

        The recording machine was shared and noisy, so each trial takes its model's median
        seconds per optimizer step, and its median seconds per evaluation.
        """
        steps = tuple(evaluation.step for evaluation in curve.evaluations)
        return cls(
            results=tuple(
                {
                    "training_iteration": number,
                    STEP: evaluation.step,
                    **evaluation.metrics,
                    **pack(evaluation),
                }
                for number, evaluation in enumerate(curve.evaluations, 1)
            ),
            steps=steps,
            seconds=tuple(
                step * pace.seconds_per_step + number * pace.seconds_per_evaluation
                for number, step in enumerate(steps, 1)
            ),
        )


@dataclass(frozen=True, eq=False)
class SimulatedTrial:
    """A planned trial and its timeline; the same for every scheduler."""

    config: dict[str, Any]
    """What Tune would hand to it."""
    plan: TrialPlan
    timeline: Timeline

    @classmethod
    def of(cls, plan: TrialPlan, timeline: Timeline) -> SimulatedTrial:
        """Make the trial that Tune would make of a plan."""
        return cls({PLAN: config_of(plan)}, plan, timeline)


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended."""

    trial: SimulatedTrial
    evaluations: int
    """Those that it reported."""
    completed: bool
    """Whether it reached its full budget without being stopped."""

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self.trial.timeline.steps[self.evaluations - 1]

    @property
    def seconds(self) -> float:
        """Simulated seconds of training and evaluation."""
        return self.trial.timeline.seconds[self.evaluations - 1]


@dataclass(frozen=True)
class Outcome:
    """What came of all trials, in plan order."""

    trials: tuple[TrialOutcome, ...]
    makespan: float
    """Simulated seconds between the first start and the last end."""

    @property
    def steps(self) -> int:
        """Optimizer steps done by all trials."""
        return sum(trial.steps for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Simulated seconds of training and evaluation of all trials."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def evaluations(self) -> int:
        """Evaluations done by all trials."""
        return sum(trial.evaluations for trial in self.trials)


class LiveTrial:
    """A stand-in for Ray's Trial: what a scheduler reads of it, and how far it has come."""

    def __init__(self, trial: SimulatedTrial, number: int) -> None:
        """Begin with nothing reported; `number` is its place in the order of the plan."""
        self.trial_id, self.config = trial.plan.trial_id, trial.config
        self.number = number
        self.status: str = Trial.PENDING
        self.completed = False
        self.reports = 0
        self._trial, self._timeline = trial, trial.timeline
        self._began = 0.0

    @property
    def has_more(self) -> bool:
        """Whether it is short of its full budget."""
        return self.reports < len(self._timeline.results)

    @property
    def last_result(self) -> Mapping[str, Any]:
        """The report that it made last."""
        return self._timeline.results[self.reports - 1]

    @property
    def next_at(self) -> float:
        """When the next report comes, in simulated seconds."""
        return self._began + self._timeline.seconds[self.reports]

    @property
    def outcome(self) -> TrialOutcome:
        """How it ended."""
        return TrialOutcome(self._trial, self.reports, self.completed)

    def is_finished(self) -> bool:
        """Whether it has ended; the word is Tune's."""
        return self.status == Trial.TERMINATED

    def run(self, now: float) -> None:
        """Start, or continue from the last report as if there had been no pause."""
        self.status = Trial.RUNNING
        self._began = now - (self._timeline.seconds[self.reports - 1] if self.reports else 0.0)


def simulate(
    trials: Sequence[SimulatedTrial],
    scheduler: TrialScheduler,
    workers: int,
    max_t: float = math.inf,
) -> Outcome:
    """Run trials, planned in the given order, each when a worker is free and the scheduler says so.

    `max_t` is the number of optimizer steps at which the scheduler itself ends every trial, as
    Ray's do: a STOP from there on means that the trial is complete, not that it was ruled out.
    """
    assert workers > 0
    return Cluster(trials, scheduler, workers, max_t).run()


class Cluster:
    """Workers on a simulated clock, and the part of Tune's controller that schedulers use."""

    def __init__(
        self,
        trials: Sequence[SimulatedTrial],
        scheduler: TrialScheduler,
        workers: int,
        max_t: float,
    ) -> None:
        """Set the clock to zero; all workers are free."""
        self._trials = [LiveTrial(trial, number) for number, trial in enumerate(trials)]
        self._scheduler: Any = scheduler  # its types are those of Tune's own trials
        self._workers, self._max_t = workers, max_t
        self._now = 0.0
        self._expected: list[tuple[float, int]] = []
        """When each running trial reports next, and its number; a heap."""
        # Private in Tune: which workers are starting. Here a worker is there when it is wanted.
        self._actor_manager = SimpleNamespace(live_actors=())
        self._started_actors: frozenset[Any] = frozenset()

    def run(self) -> Outcome:
        """Hear every report at its time, until all trials have ended."""
        for trial in self._trials:
            self._scheduler.on_trial_add(self, trial)
        self._give_work()
        while self._expected:
            self._now, number = heappop(self._expected)
            self._hear(self._trials[number])
            self._give_work()
        assert all(trial.is_finished() for trial in self._trials), "some wait for nothing"
        return Outcome(tuple(trial.outcome for trial in self._trials), self._now)

    def get_trials(self) -> list[LiveTrial]:
        """Return all trials in plan order."""
        return self._trials

    def stop_trial(self, trial: LiveTrial) -> None:
        """End a trial that waits."""
        assert trial.status == Trial.PAUSED
        self._scheduler.on_trial_remove(self, trial)
        trial.status = Trial.TERMINATED

    def _give_work(self) -> None:
        """Ask what starts or goes on; as Tune does, also where no worker is free for it."""
        while (trial := self._scheduler.choose_trial_to_run(self)) and self._has_room:
            assert trial.status in (Trial.PENDING, Trial.PAUSED)
            trial.run(self._now)
            if trial.has_more:
                heappush(self._expected, (trial.next_at, trial.number))
            else:  # it was paused at its last report
                self._complete(trial, is_ruled_out=False)

    @property
    def _has_room(self) -> bool:
        return len(self._expected) < self._workers

    def _hear(self, trial: LiveTrial) -> None:
        trial.reports += 1
        decision = self._scheduler.on_trial_result(self, trial, trial.last_result)
        match decision:
            case TrialScheduler.PAUSE:
                trial.status = Trial.PAUSED
            case TrialScheduler.CONTINUE if trial.has_more:
                heappush(self._expected, (trial.next_at, trial.number))
            case TrialScheduler.CONTINUE:
                self._complete(trial, is_ruled_out=False)
            case TrialScheduler.STOP:
                self._complete(trial, is_ruled_out=trial.last_result[STEP] < self._max_t)
            case _:
                raise AssertionError(f"no answer of a scheduler: {decision}")

    def _complete(self, trial: LiveTrial, is_ruled_out: bool) -> None:
        self._scheduler.on_trial_complete(self, trial, trial.last_result)
        trial.status, trial.completed = Trial.TERMINATED, not is_ruled_out
