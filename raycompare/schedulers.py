"""Schedulers for Tune: trials in plan order; successive halving with a bracket for each model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raycompare.messages import plan_of, unpack
from raycompare.metrics import MetricName
from raycompare.record import Evaluation, TrialPlan
from raycompare.rungs import Rungs


class PlanOrder(FIFOScheduler):
    """Stops no trial; starts them in the order of the plan, and lets workers finish starting.

    A worker that is free again takes over the trial that Tune's FIFO names: the first that waits,
    for which a worker may just be starting on another node. Tune then ends that one. A node whose
    worker starts more slowly than trials end elsewhere, such as a node that came late, would start
    one worker after another and never train.
    """

    def __init__(self) -> None:
        """Begin at the first trial."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._finished = 0

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Return the first trial that waits and has no worker starting for it."""
        trials = tune_controller.get_trials()
        while self._finished < len(trials) and trials[self._finished].is_finished():
            self._finished += 1
        starting = _trials_with_a_starting_worker(tune_controller)
        waiting = (t for t in islice(trials, self._finished, None) if t.status == Trial.PENDING)
        return next((trial for trial in waiting if trial not in starting), None)


def _trials_with_a_starting_worker(tune_controller: TuneController) -> set[Trial]:
    """Tune has no public word for this; schedulers get its controller in a wrapper."""
    controller = getattr(tune_controller, "_tune_controller", tune_controller)
    # Live actors have their resources; they are started when their process answers.
    starting = set(controller._actor_manager.live_actors) - controller._started_actors
    return {trial for actor in starting if (trial := controller._actor_to_trial.get(actor))}


class PerModelHalving(PlanOrder):
    """Compares a trial only with trials of its own model, at rungs in optimizer steps.

    One bracket for all models stops the models that start slowly: in simulation it named a truly
    best slow starter in 11 % of runs, brackets per model in 72 %, no stopping at all in 73 %.
    """

    # A buffered report would reach the scheduler after the next one is already made.
    _supports_buffered_results = False

    def __init__(
        self,
        plans: Iterable[TrialPlan],
        metric: MetricName,
        make_rungs: Callable[[str], Rungs],
    ) -> None:
        """Know every plan of the stage in its order, also those of an earlier, interrupted run."""
        super().__init__()
        self._own_metric = metric
        self._rungs: dict[str, Rungs] = {}
        self.stops: dict[str, str] = {}
        """Why each stopped trial was stopped, by trial id."""
        for plan in sorted(plans, key=lambda plan: plan.order):
            if plan.model not in self._rungs:
                self._rungs[plan.model] = make_rungs(plan.model)
            self._rungs[plan.model].add(plan.trial_id)

    @property
    def steps(self) -> dict[str, tuple[int, ...]]:
        """The optimizer steps of the rungs of each model."""
        return {model: rungs.steps for model, rungs in self._rungs.items()}

    def replay(self, plan: TrialPlan, evaluations: Iterable[tuple[int, float]]) -> None:
        """Take in a finished trial of an earlier run: pairs of step and metric, in order."""
        for step, value in evaluations:
            self._rungs[plan.model].record(plan.trial_id, step, value)
        self._rungs[plan.model].end(plan.trial_id)

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> str:
        """Stop a trial that a rung has ruled out."""
        plan, message = plan_of(trial), unpack(result)
        if not isinstance(message, Evaluation):
            return str(TrialScheduler.CONTINUE)
        rungs, value = self._rungs[plan.model], message.metrics[self._own_metric]
        rung = rungs.record(plan.trial_id, message.step, value)
        if rung is None:
            return str(TrialScheduler.CONTINUE)
        self.stops[plan.trial_id] = f"not in the best part of the rung at step {rungs.steps[rung]}"
        return str(TrialScheduler.STOP)

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> None:
        """Let later trials stop waiting for this one."""
        self._end(trial)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Let later trials stop waiting for this one."""
        self._end(trial)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Let later trials stop waiting for this one."""
        self._end(trial)

    def _end(self, trial: Trial) -> None:
        plan = plan_of(trial)
        self._rungs[plan.model].end(plan.trial_id)

    def debug_string(self) -> str:
        """Say which rungs there are."""
        return f"Successive halving per model, rungs at steps: {self.steps}"
