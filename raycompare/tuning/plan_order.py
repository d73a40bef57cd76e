"""Schedulers for Tune: trials in plan order, with or without a rule that compares them.

Tune calls `choose_trial_to_run` in each of its steps to get the trial that may start, and
`on_trial_result` for each report to learn whether the trial continues, pauses or ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Any, Protocol

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raycompare.errors import RunError
from raycompare.records.messages import (
    Evaluation,
    Message,
    Stop,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import EvalRecord
from raycompare.tuning.schedulers.base import Decision, Ruling
from raycompare.tuning.searcher import plan_of, unpack

SECONDS_BETWEEN_REVIEWS = 1.0
"""Decisions about paused trials change with reports and, by budgets, with time."""
REVIEW_SHARE = 0.05
"""Largest share of the driver's time for them; with thousands of paused trials, they wait."""
SHORT_REVIEW_S = 0.01
"""Reviews that are shorter are not delayed."""
MOST_SECONDS_PAUSED = 60.0
"""How long all trials of a stage may be paused at once; Tune needs seconds to pause or plan one."""


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
        self._all_wait_since: float | None = None
        self._free: dict[str, Trial] = {}
        """Paused trials that may continue, keyed by trial id."""
        self._review_at = 0.0
        """When to decide about the paused trials again."""
        self._next_review = 0.0
        """Earliest time for that, after something has been reported."""
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

    def replay(
        self, plan: TrialPlan, evaluations: Sequence[EvalRecord], ended_by_itself: bool
    ) -> None:
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
        chosen = first or self._next_new_trial(tune_controller, starting)
        if chosen is None:
            self._require_progress(tune_controller)
        return chosen

    def _require_progress(self, tune_controller: TuneController) -> None:
        """Raise an error if all trials have waited for one another for too long.

        That would be a mistake of ours in a rule; without this check, the run would never end.
        """
        live = (Trial.RUNNING, Trial.PENDING)
        if not self.paused or any(t.status in live for t in tune_controller.get_trials()):
            self._all_wait_since = None
            return
        unfinished = [t for t in self.paused.values() if not t.is_finished()]
        now = monotonic()
        self._all_wait_since = self._all_wait_since or now
        if now - self._all_wait_since > MOST_SECONDS_PAUSED:
            names = ", ".join(plan_of(trial).trial_id for trial in unfinished[:3])
            raise RunError(
                f"all {len(unfinished)} trials that have not ended are paused and wait for one "
                f"another ({names}, ...). This is a fault of raycompare's scheduler "
                f"{self.debug_string()}; please report it. The run can be resumed, with another "
                "one under tune.scheduler only as a new run."
            )

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
        began = monotonic()
        if began >= self._review_at:
            is_pausing = self._review(tune_controller)
            ended = monotonic()
            took = ended - began
            self._next_review = ended + took / REVIEW_SHARE if took > SHORT_REVIEW_S else 0.0
            self._review_at = self._next_review if is_pausing else began + SECONDS_BETWEEN_REVIEWS
        begins = (Trial.PAUSED, Trial.PENDING)
        return [trial for trial in self._free.values() if trial.status in begins]

    def _review(self, tune_controller: TuneController) -> bool:
        """Decide about the paused trials; return whether one is not paused yet."""
        is_pausing = False
        for trial_id, trial in list(self.paused.items()):
            if trial.status != Trial.PAUSED:  # not paused yet, or already chosen
                is_pausing |= trial.status == Trial.RUNNING
                continue
            plan = plan_of(trial)
            stop = self._stop(plan)
            if stop:
                self.stops[plan.trial_id] = stop
                del self.paused[trial_id]
                self._free.pop(trial_id, None)
                tune_controller.stop_trial(trial)
            elif self.standing(plan).decision is Decision.GO:
                self._free[trial_id] = trial
        return is_pausing

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
        self._review_at = self._next_review
        self.paused.pop(plan.trial_id, None)
        self._free.pop(plan.trial_id, None)
        if not isinstance(message, TrialStart | Evaluation):
            return str(TrialScheduler.CONTINUE)
        if isinstance(message, Evaluation) and message.is_last:
            return self._take_in_last(plan, message)
        self.take_in(plan, message)
        stop = self._stop(plan) if isinstance(message, Evaluation) or message.earlier else None
        if stop:
            self.stops[plan.trial_id] = stop
            return str(TrialScheduler.STOP)
        if self.standing(plan).decision is Decision.WAIT:
            self.paused[plan.trial_id] = trial
            return str(TrialScheduler.PAUSE)
        return str(TrialScheduler.CONTINUE)

    def _take_in_last(self, plan: TrialPlan, message: Evaluation) -> str:
        """Take in the last evaluation of a trial, which has no training left to stop or pause.

        It ends as a stopped trial only if it should have been stopped at an earlier evaluation.
        """
        before = self.standing(plan)
        self.take_in(plan, message)
        if before.decision is not Decision.STOP:
            return str(TrialScheduler.CONTINUE)
        self.stops[plan.trial_id] = Stop("rung", before.reason)
        return str(TrialScheduler.STOP)

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
        self._review_at = self._next_review
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
            self._review_at = self._next_review
            self.end(plan)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Record the end of a trial, so that others do not wait for it."""
        self._review_at = self._next_review
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
