"""A simulated clock and n workers that drive a real scheduler of Tune with recorded curves.

The scheduler hears what Tune would tell it, in the order of the simulated clock: every trial
added, each report, each end. Reports that arrive at one instant are heard in plan order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import Any, Literal

from ray.tune.schedulers import TrialScheduler

from benchmarks.replay.curves import Curve, Pace
from raycompare.messages import PLAN, config_of, pack
from raycompare.record import TrialPlan

STEP = "step"
"""The key of a result that counts optimizer steps; a scheduler's `time_attr`."""

NO_CONTROLLER: Any = None
"""No scheduler here asks its controller for anything."""


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
    """A stand-in for Ray's Trial: what a scheduler reads of it, and its timeline."""

    trial_id: str
    config: dict[str, Any]
    plan: TrialPlan
    timeline: Timeline

    @classmethod
    def of(cls, plan: TrialPlan, timeline: Timeline) -> SimulatedTrial:
        """Make the trial that Tune would make of a plan."""
        return cls(plan.trial_id, {PLAN: config_of(plan)}, plan, timeline)


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


def simulate(
    trials: Sequence[SimulatedTrial],
    scheduler: TrialScheduler,
    workers: int,
    max_t: float = math.inf,
) -> Outcome:
    """Run trials, which start in the given order, each as soon as a worker is free.

    `max_t` is the number of optimizer steps at which the scheduler itself ends every trial, as
    Ray's do: a STOP from there on means that the trial is complete, not that it was ruled out.
    """
    assert workers > 0
    for trial in trials:
        scheduler.on_trial_add(NO_CONTROLLER, trial)  # type: ignore[arg-type]
    outcomes: dict[int, TrialOutcome] = {}
    # Time of the report, number of the trial, start of the trial, number of the report.
    queue = [(trial.timeline.seconds[0], n, 0.0, 0) for n, trial in enumerate(trials[:workers])]
    heapify(queue)
    started, now = len(queue), 0.0
    while queue:
        now, number, start, report = queue[0]
        trial = trials[number]
        seconds = trial.timeline.seconds
        ending = _hear(scheduler, trial, report, max_t)
        if ending is None:
            heapreplace(queue, (start + seconds[report + 1], number, start, report + 1))
            continue
        outcomes[number] = TrialOutcome(trial, report + 1, ending == "completed")
        if started < len(trials):
            heapreplace(queue, (now + trials[started].timeline.seconds[0], started, now, 0))
            started += 1
        else:
            heappop(queue)
    return Outcome(tuple(outcomes[number] for number in range(len(trials))), now)


def _hear(
    scheduler: Any, trial: SimulatedTrial, report: int, max_t: float
) -> Literal["completed", "stopped"] | None:
    """Tell the scheduler of a report, and of the trial's end if this was its last."""
    timeline = trial.timeline
    result: Mapping[str, Any] = timeline.results[report]
    decision = scheduler.on_trial_result(NO_CONTROLLER, trial, result)
    is_last = report + 1 == len(timeline.results)
    if decision == TrialScheduler.CONTINUE and not is_last:
        return None
    assert decision in (TrialScheduler.CONTINUE, TrialScheduler.STOP), "no trial is ever paused"
    scheduler.on_trial_complete(NO_CONTROLLER, trial, result)
    ruled_out = decision == TrialScheduler.STOP and timeline.steps[report] < max_t
    return "stopped" if ruled_out else "completed"
