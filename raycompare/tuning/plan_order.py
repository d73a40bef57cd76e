"""Schedulers for Tune: trials in plan order, with or without a rule that compares them.

Tune calls `choose_trial_to_run` in each of its steps to get the trial that may start, and
`on_trial_result` for each report to learn whether the trial continues, pauses or ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Protocol

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raycompare.errors import RunError
from raycompare.experiment.settings import TimeAttr
from raycompare.metrics import MetricName
from raycompare.records.messages import Evaluation, Message, Stop, TrialPlan, TrialStart
from raycompare.records.rows import EvalRecord
from raycompare.tuning.schedulers.base import Decision, Rule, Ruling
from raycompare.tuning.searcher import plan_of, unpack


class StartPolicy(Protocol):
    """Decides which trials may start and continue within the limits of a run."""

    def refuses(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must not start; None if it may."""

    def cuts(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must end at its next evaluation; None if it may continue."""


class PlanOrder(FIFOScheduler):
    """Starts trials in the order of the plan, if the gate allows it, without comparing them.

    Lost and paused trials come before those that have not started, because others wait for them.

    With Tune's FIFO, a free worker would take over the first waiting trial, even if a worker is
    just starting for it on another node, and Tune would then end that worker. A node whose workers
    start more slowly than trials end elsewhere, such as one that joined late, would start one
    worker after another and never train.
    """

    # A buffered report would reach the scheduler only after the trial has made the next one.
    _supports_buffered_results = False

    def __init__(self, gate: StartPolicy | None = None) -> None:
        """Let `gate` refuse and end trials; without one, all may run."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._gate = gate
        self._finished = 0
        self._lost: dict[str, Trial] = {}
        self.most_at_once: int | None = None
        """Maximum number of trials that run at once; None for all that the cluster holds."""
        self.paused: dict[str, Trial] = {}
        """Paused trials, which hold no resources, keyed by trial id."""
        self.stops: dict[str, Stop] = {}
        """Why the scheduler ended a trial, keyed by trial id."""
        self.refusals: dict[str, Stop] = {}
        """Why a trial was not started, keyed by trial id."""

    def __reduce__(self) -> tuple[type[FIFOScheduler], tuple[()]]:
        """Pickle a stub: `Tuner.restore`, which needs it, is not used (docs/decisions/0002)."""
        return FIFOScheduler, ()

    @property
    def waiting(self) -> int:
        """Number of paused trials that are not about to continue."""
        return sum(trial.status != Trial.PENDING for trial in self.paused.values())

    def add(self, plan: TrialPlan) -> None:
        """Add a trial before it starts; calls come in the order of the plan."""

    def replay(self, plan: TrialPlan, evaluations: Iterable[EvalRecord]) -> None:
        """Add a trial that an earlier session finished."""

    def close(self) -> None:
        """Record that no more trials will be added."""

    def standing(self, plan: TrialPlan) -> Ruling:
        """Return the current decision about a trial, from its comparison with others."""
        return Ruling(Decision.GO)

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Return the first trial that may start or continue and has no worker starting for it."""
        starting = _trials_with_a_starting_worker(tune_controller)
        released = self._release(tune_controller)
        begun = [*self._lost_trials(), *(released if self._has_room(tune_controller) else ())]
        first: Trial | None = next((trial for trial in begun if trial not in starting), None)
        return first or self._next_new_trial(tune_controller, starting)

    def _has_room(self, tune_controller: TuneController) -> bool:
        if self.most_at_once is None:
            return True
        begun = (Trial.RUNNING, Trial.PENDING)
        busy = sum(trial.status in begun for trial in tune_controller.get_trials())
        return busy < self.most_at_once

    def _lost_trials(self) -> list[Trial]:
        self._lost = {k: trial for k, trial in self._lost.items() if trial.status == Trial.PENDING}
        return list(self._lost.values())

    def _release(self, tune_controller: TuneController) -> list[Trial]:
        """Return the paused trials that may continue; end those that must not."""
        free = []
        for trial_id, trial in list(self.paused.items()):
            if trial.status != Trial.PAUSED:  # not paused yet, or already chosen
                if trial.status == Trial.PENDING:
                    free.append(trial)
                continue
            plan = plan_of(trial)
            stop = self._stop(plan)
            if stop:
                self.stops[plan.trial_id] = stop
                del self.paused[trial_id]
                tune_controller.stop_trial(trial)
            elif self.standing(plan).decision is Decision.GO:
                free.append(trial)
        return free

    def _next_new_trial(
        self, tune_controller: TuneController, starting: set[Trial]
    ) -> Trial | None:
        trials: list[Trial] = tune_controller.get_trials()
        while self._finished < len(trials) and trials[self._finished].is_finished():
            self._finished += 1
        waiting = (t for t in islice(trials, self._finished, None) if t.status == Trial.PENDING)
        for trial in waiting:
            plan = plan_of(trial)
            refusal = self._gate.refuses(plan) if self._gate else None
            if refusal:
                self.refusals[plan.trial_id] = refusal
                trial.init_local_path()  # at the end, Tune reads the path of every trial
                tune_controller.stop_trial(trial)
            elif trial not in starting:
                return trial
        return None

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> str:
        """End, pause or continue a trial after a report."""
        plan, message = plan_of(trial), unpack(result)
        self.paused.pop(plan.trial_id, None)
        if not isinstance(message, TrialStart | Evaluation):
            return str(TrialScheduler.CONTINUE)
        self.take_in(plan, message)
        stop = self._stop(plan) if isinstance(message, Evaluation) or message.earlier else None
        if stop:
            self.stops[plan.trial_id] = stop
            return str(TrialScheduler.STOP)
        if self.standing(plan).decision is Decision.WAIT:
            self.paused[plan.trial_id] = trial
            return str(TrialScheduler.PAUSE)
        return str(TrialScheduler.CONTINUE)

    def take_in(self, plan: TrialPlan, message: Message) -> None:
        """Record what a trial reported."""

    def _stop(self, plan: TrialPlan) -> Stop | None:
        standing = self.standing(plan)
        if standing.decision is Decision.STOP:
            return Stop("rung", standing.reason)
        return self._gate.cuts(plan) if self._gate else None

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> None:
        """Record the end of a trial, so that others do not wait for it."""
        self.end(plan_of(trial))

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Record the end of a trial, unless it will be restarted.

        Tune has set the status of a trial that it restarts to ERROR by now. A trial that is lost
        once more while it waits for a worker is given up, whatever `should_recover` says.
        """
        plan = plan_of(trial)
        if trial.status == Trial.ERROR and trial.should_recover():
            self._lost[plan.trial_id] = trial
        else:
            self._lost.pop(plan.trial_id, None)
            self.end(plan)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Record the end of a trial, so that others do not wait for it."""
        self.end(plan_of(trial))

    def end(self, plan: TrialPlan) -> None:
        """Record that a trial will not report again."""

    def debug_string(self) -> str:
        """Return the name of the scheduler, which Tune prints in verbose mode."""
        return type(self).__name__


def _trials_with_a_starting_worker(tune_controller: TuneController) -> set[Trial]:
    """Return trials whose worker is starting, for which Tune has no public API."""
    controller = getattr(tune_controller, "_tune_controller", tune_controller)  # may be wrapped
    # Live actors have their resources; they count as started when their process responds.
    starting = set(controller._actor_manager.live_actors) - controller._started_actors
    return {trial for actor in starting if (trial := controller._actor_to_trial.get(actor))}


class RuleScheduler(PlanOrder):
    """Applies each model's rule to decide which trials continue, pause or end."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        metric: MetricName,
        time_attr: TimeAttr = "steps",
        gate: StartPolicy | None = None,
    ) -> None:
        """Use these rules, keyed by model name; models may share a rule."""
        super().__init__(gate)
        self._rules, self._own_metric = rules, metric
        self._position = "step" if time_attr == "steps" else "examples_seen"

    def add(self, plan: TrialPlan) -> None:
        """Add a trial before it starts; calls come in the order of the plan."""
        self._rules[plan.model].add(plan.trial_id)

    def replay(self, plan: TrialPlan, evaluations: Iterable[EvalRecord]) -> None:
        """Add a trial that an earlier session finished."""
        for row in evaluations:
            if row.split == "validation":
                self._record(plan, row, getattr(row, self._own_metric))
        self.end(plan)

    def close(self) -> None:
        """Record that no more trials will be added."""
        for rule in self._rules.values():
            rule.close()

    def standing(self, plan: TrialPlan) -> Ruling:
        """Return the decision of the model's rule."""
        return self._rules[plan.model].standing(plan.trial_id)

    def take_in(self, plan: TrialPlan, message: Message) -> None:
        """Record an evaluation, or those from before a checkpoint."""
        for evaluation in message.earlier if isinstance(message, TrialStart) else (message,):
            assert isinstance(evaluation, Evaluation)
            value = evaluation.metrics.get(self._own_metric)
            if value is None:
                raise RunError(
                    f"{plan.trial_id} reported {', '.join(evaluation.metrics)}, but not "
                    f"{self._own_metric}, which trials are compared by. Report it at every "
                    "evaluation, or set tune.metric to one that is reported."
                )
            self._record(plan, evaluation, value)

    def _record(self, plan: TrialPlan, at: Evaluation | EvalRecord, value: float) -> None:
        self._rules[plan.model].record(plan.trial_id, getattr(at, self._position), value)

    def end(self, plan: TrialPlan) -> None:
        """Record the end of a trial in the rule of its model."""
        self._rules[plan.model].end(plan.trial_id)
