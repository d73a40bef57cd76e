"""Schedulers for Tune: trials in plan order, with or without a rule that compares them.

Tune asks `choose_trial_to_run` in each of its steps which trial may start, and
`on_trial_result` for each report whether its trial goes on, pauses or ends.
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
    """What may start, and go on, within the limits of a run."""

    def refuses(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must not start; None if it may."""

    def cuts(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must end at its next evaluation; None if it may go on."""


class PlanOrder(FIFOScheduler):
    """Compares no trials; starts them in the order of the plan, as far as the gate lets them.

    A trial that was lost or paused comes before those that have not begun: others wait for it.

    A worker that is free again takes over the trial that Tune's FIFO names: the first that waits,
    for which a worker may just be starting on another node. Tune then ends that one. A node whose
    worker starts more slowly than trials end elsewhere, such as a node that came late, would start
    one worker after another and never train.
    """

    # A buffered report would reach the scheduler after the next one is already made.
    _supports_buffered_results = False

    def __init__(self, gate: StartPolicy | None = None) -> None:
        """Begin at the first trial."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._gate = gate
        self._finished = 0
        self._lost: dict[str, Trial] = {}
        self.most_at_once: int | None = None
        """Trials that may run at a time, if fewer than the cluster holds."""
        self.paused: dict[str, Trial] = {}
        """By trial id; they hold no resources."""
        self.stops: dict[str, Stop] = {}
        """Why each trial was ended that did not end by itself, by trial id."""
        self.refusals: dict[str, Stop] = {}
        """Why trials were not started, by trial id."""

    def __reduce__(self) -> tuple[type[FIFOScheduler], tuple[()]]:
        """Tune pickles schedulers for `Tuner.restore`, which is not used (docs/decisions/0002)."""
        return FIFOScheduler, ()

    @property
    def waiting(self) -> int:
        """How many trials are paused, and not about to go on."""
        return sum(trial.status != Trial.PENDING for trial in self.paused.values())

    def add(self, plan: TrialPlan) -> None:
        """Know of a trial before it starts; calls come in the order of the plan."""

    def replay(self, plan: TrialPlan, evaluations: Iterable[EvalRecord]) -> None:
        """Take in a trial that an earlier run has finished."""

    def close(self) -> None:
        """Know that no more trials are added."""

    def standing(self, plan: TrialPlan) -> Ruling:
        """Say what the comparison with others means for a trial now."""
        return Ruling(Decision.GO)

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Return the first trial that may start or go on and has no worker starting for it."""
        starting = _trials_with_a_starting_worker(tune_controller)
        released = self._release(tune_controller)
        begun = [*self._lost_ones(), *(released if self._has_room(tune_controller) else ())]
        found: Trial | None = next((trial for trial in begun if trial not in starting), None)
        return found or self._first_that_may_start(tune_controller, starting)

    def _has_room(self, tune_controller: TuneController) -> bool:
        if self.most_at_once is None:
            return True
        begun = (Trial.RUNNING, Trial.PENDING)
        busy = sum(trial.status in begun for trial in tune_controller.get_trials())
        return busy < self.most_at_once

    def _lost_ones(self) -> list[Trial]:
        self._lost = {k: trial for k, trial in self._lost.items() if trial.status == Trial.PENDING}
        return list(self._lost.values())

    def _release(self, tune_controller: TuneController) -> list[Trial]:
        """Return the paused trials that may go on; end those that must not."""
        free = []
        for trial_id, trial in list(self.paused.items()):
            if trial.status != Trial.PAUSED:  # not yet, or it was chosen before
                if trial.status == Trial.PENDING:
                    free.append(trial)
                continue
            plan = plan_of(trial)
            stop = self._stop(plan)
            if stop:
                self.stops[plan.trial_id] = stop
                del self.paused[trial_id]
                tune_controller.stop_trial(trial)
            elif self.standing(plan).say is Decision.GO:
                free.append(trial)
        return free

    def _first_that_may_start(
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
                trial.init_local_path()  # Tune asks every trial for its path in the end
                tune_controller.stop_trial(trial)
            elif trial not in starting:
                return trial
        return None

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> str:
        """End or pause a trial by what is known now."""
        plan, message = plan_of(trial), unpack(result)
        self.paused.pop(plan.trial_id, None)
        if not isinstance(message, TrialStart | Evaluation):
            return str(TrialScheduler.CONTINUE)
        self.take_in(plan, message)
        stop = self._stop(plan) if isinstance(message, Evaluation) or message.earlier else None
        if stop:
            self.stops[plan.trial_id] = stop
            return str(TrialScheduler.STOP)
        if self.standing(plan).say is Decision.WAIT:
            self.paused[plan.trial_id] = trial
            return str(TrialScheduler.PAUSE)
        return str(TrialScheduler.CONTINUE)

    def take_in(self, plan: TrialPlan, message: Message) -> None:
        """Learn from what a trial reported."""

    def _stop(self, plan: TrialPlan) -> Stop | None:
        standing = self.standing(plan)
        if standing.say is Decision.STOP:
            return Stop("rung", standing.reason)
        return self._gate.cuts(plan) if self._gate else None

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: Mapping[str, Any]
    ) -> None:
        """Let others stop waiting for this one."""
        self.end(plan_of(trial))

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Let others stop waiting for this one, unless it is started again."""
        plan = plan_of(trial)
        if trial.should_recover():
            self._lost[plan.trial_id] = trial
        else:
            self.end(plan)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Let others stop waiting for this one."""
        self.end(plan_of(trial))

    def end(self, plan: TrialPlan) -> None:
        """Know that a trial will report no more."""

    def debug_string(self) -> str:
        """Say what this is; Tune prints it where it is told to be verbose."""
        return type(self).__name__


def _trials_with_a_starting_worker(tune_controller: TuneController) -> set[Trial]:
    """Tune has no public word for this; schedulers get its controller in a wrapper."""
    controller = getattr(tune_controller, "_tune_controller", tune_controller)
    # Live actors have their resources; they are started when their process answers.
    starting = set(controller._actor_manager.live_actors) - controller._started_actors
    return {trial for actor in starting if (trial := controller._actor_to_trial.get(actor))}


class Comparing(PlanOrder):
    """Lets a rule for each model say which trials go on, wait or end."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        metric: MetricName,
        time_attr: TimeAttr = "steps",
        gate: StartPolicy | None = None,
    ) -> None:
        """Take the rule of each model by its name; one rule may serve several."""
        super().__init__(gate)
        self._rules, self._own_metric = rules, metric
        self._position = "step" if time_attr == "steps" else "examples_seen"

    def add(self, plan: TrialPlan) -> None:
        """Know of a trial before it starts; calls come in the order of the plan."""
        self._rules[plan.model].add(plan.trial_id)

    def replay(self, plan: TrialPlan, evaluations: Iterable[EvalRecord]) -> None:
        """Take in a trial that an earlier run has finished."""
        for row in evaluations:
            if row.split == "validation":
                self._record(plan, row, getattr(row, self._own_metric))
        self.end(plan)

    def close(self) -> None:
        """Know that no more trials are added."""
        for rule in self._rules.values():
            rule.close()

    def standing(self, plan: TrialPlan) -> Ruling:
        """Ask the rule of the trial's model."""
        return self._rules[plan.model].standing(plan.trial_id)

    def take_in(self, plan: TrialPlan, message: Message) -> None:
        """Record an evaluation, or those from before a checkpoint."""
        found = message.earlier if isinstance(message, TrialStart) else (message,)
        for evaluation in found:
            assert isinstance(evaluation, Evaluation)
            value = evaluation.metrics.get(self._own_metric)
            if value is None:
                raise RunError(
                    f"{plan.trial_id} reported {', '.join(evaluation.metrics)} and no "
                    f"{self._own_metric}, by which trials are compared. Report it at every "
                    "evaluation, or set tune.metric to one that is reported."
                )
            self._record(plan, evaluation, value)

    def _record(self, plan: TrialPlan, at: Evaluation | EvalRecord, value: float) -> None:
        self._rules[plan.model].record(plan.trial_id, getattr(at, self._position), value)

    def end(self, plan: TrialPlan) -> None:
        """Let the rule stop waiting for a trial."""
        self._rules[plan.model].end(plan.trial_id)
