"""Takes down what happens while a run goes on, and makes the records from it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from raycompare.metrics import MetricName, Mode, better
from raycompare.records.messages import (
    Evaluation,
    Message,
    Stage,
    Stop,
    TrialEnd,
    TrialFailure,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import (
    FINISHED,
    STATUS_OF,
    Ending,
    EvalRecord,
    Split,
    Status,
    TrialRecord,
)


@dataclass
class TrialState:
    """All that is known of one trial of this run."""

    plan: TrialPlan
    start: TrialStart | None = None
    evaluations: list[tuple[Evaluation, float]] = field(default_factory=list)
    """Each with the seconds since the run began."""
    best: Evaluation | None = None
    """The best evaluation on the validation split; the first of equals."""
    end: TrialEnd | None = None
    ended_at: float = 0.0
    stop: Stop | None = None
    failure: TrialFailure | None = None
    refusal: Stop | None = None
    """Why the trial was not started, if it was ruled out."""
    starts: int = 0
    """How often a worker began it, or went on with it."""
    running: bool = False
    paused: bool = False
    held: float = 0.0
    """Seconds for which it held its resources, up to when it last gave them back."""
    held_since: float | None = None
    """When it was last given its resources, in seconds since the run began; None if it has none."""

    @property
    def ending(self) -> Ending:
        """How the trial ended, were the run to end now."""
        if self.failure is not None:
            return "error"
        if self.end is not None:
            return self.end.reason
        if self.stop is not None:
            return self.stop.ending
        if self.running or self.start:
            return "cut_short"
        return self.refusal.ending if self.refusal else "not_run"

    @property
    def status(self) -> Status:
        """How the trial stands, were the run to end now."""
        return "not_run" if self.refusal and not self.start else STATUS_OF[self.ending]

    @property
    def has_ended(self) -> bool:
        """Say whether the trial ran and reports no more."""
        return not self.running and self.status != "not_run"

    @property
    def reason(self) -> str:
        """Why the trial ended, in a few words."""
        if self.failure:
            return self.failure.cause
        stop = self.stop or self.refusal
        detail = self.end.detail if self.end else stop.reason if stop else ""
        return detail or self.ending.replace("_", " ")

    def held_until(self, now: float) -> float:
        """Return the seconds for which the trial has held its resources by now."""
        return self.held + (now - self.held_since if self.held_since is not None else 0.0)

    def give_back(self, now: float) -> None:
        """Note that the trial has no resources any more."""
        self.held, self.held_since = self.held_until(now), None

    @property
    def last_step(self) -> int:
        """The optimizer steps taken, as far as reported."""
        if self.end is not None:
            return self.end.step
        return self.evaluations[-1][0].step if self.evaluations else 0


class Journal:
    """The trials of a run in the order they were planned, with those kept of an earlier one."""

    def __init__(self, metric: MetricName, mode: Mode) -> None:
        """Start the run's clock."""
        self.metric, self.mode = metric, mode
        self.entries: dict[str, TrialState] = {}
        self.endings: list[TrialState] = []
        """In the order they came; twice if a trial was started again."""
        self.losses: list[tuple[str, str]] = []
        """The trials whose worker was lost and that were started again, each with the cause."""
        self.starts: Counter[str] = Counter()
        """How many trials of each model were begun."""
        self._kept: dict[str, TrialRecord] = {}
        self._cut: dict[str, TrialRecord] = {}
        self._kept_evaluations: list[EvalRecord] = []
        self._seen_at: dict[tuple[str, int], float] = {}
        """When an evaluation arrived, by trial and step, also in an earlier run."""
        self._began = perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began; the time between an earlier run and this does not count."""
        return perf_counter() - self._began

    def keep(self, trials: Sequence[TrialRecord], evaluations: Sequence[EvalRecord]) -> None:
        """Take over the finished trials of an earlier, interrupted run; know of the others."""
        self._kept = {trial.trial_id: trial for trial in trials if trial.status in FINISHED}
        self._cut = {t.trial_id: t for t in trials if t.trial_id not in self._kept}
        self._kept_evaluations = [row for row in evaluations if row.trial_id in self._kept]
        self._seen_at = {
            (row.trial_id, row.step): row.experiment_seconds
            for row in evaluations
            if row.split == "validation"
        }
        self.starts.update(trial.model for trial in trials if trial.status in FINISHED)
        self._began -= max((row.experiment_seconds for row in evaluations), default=0)

    def earlier_plans(self, stage: Stage) -> dict[int, TrialRecord]:
        """Return what an earlier run has planned, finished or not, by the order of the plan."""
        known = (*self._kept.values(), *self._cut.values())
        return {trial.order: trial for trial in known if trial.stage == stage}

    def add(self, plan: TrialPlan) -> bool:
        """Note a plan; return whether it is still to be done."""
        if plan.trial_id in self._kept:
            return False
        before = self._cut.get(plan.trial_id)
        starts, held = (before.starts, before.held_seconds or 0.0) if before else (0, 0.0)
        self.entries[plan.trial_id] = TrialState(plan, starts=starts, held=held)
        return True

    def kept_evaluations(self, trial_id: str) -> list[EvalRecord]:
        """Return the evaluations of a trial that an earlier run has finished; else none."""
        return [row for row in self._kept_evaluations if row.trial_id == trial_id]

    def started(self, trial_id: str) -> None:
        """Note that a trial has been given its resources."""
        entry = self.entries[trial_id]
        if not entry.start:
            self.starts[entry.plan.model] += 1
        entry.starts += 1
        entry.held_since = self.elapsed
        entry.running, entry.paused, entry.stop, entry.failure = True, False, None, None

    def heard(self, trial_id: str, message: Message) -> None:
        """Note what a trial reported."""
        entry = self.entries[trial_id]
        match message:
            case TrialStart():
                self._begin(entry, message)
            case Evaluation():
                self._add_evaluation(entry, message)
            case TrialEnd():
                entry.end = message
            case TrialFailure():
                entry.failure = message

    def _begin(self, entry: TrialState, start: TrialStart) -> None:
        """Forget what the trial said before it was started again, but for what it says itself."""
        entry.start, entry.best, entry.end = start, None, None
        entry.evaluations.clear()
        for evaluation in start.earlier:
            self._add_evaluation(entry, evaluation)

    def _add_evaluation(self, entry: TrialState, evaluation: Evaluation) -> None:
        seen_at = self._seen_at.setdefault((entry.plan.trial_id, evaluation.step), self.elapsed)
        entry.evaluations.append((evaluation, seen_at))
        than = entry.best.metrics[self.metric] if entry.best else None
        if better(evaluation.metrics[self.metric], than, self.mode):
            entry.best = evaluation

    def paused(self, trial_id: str) -> None:
        """Note that a trial has given its resources back and may go on later."""
        entry = self.entries[trial_id]
        entry.give_back(self.elapsed)
        entry.running, entry.paused = False, True

    def lost(self, trial_id: str, cause: str) -> None:
        """Note that a trial has lost its worker and will be started again."""
        entry = self.entries[trial_id]
        entry.give_back(self.elapsed)
        entry.running = False
        self.losses.append((trial_id, cause))

    def ended(self, trial_id: str, stop: Stop | None = None) -> None:
        """Note that a trial reports no more; `stop` if the scheduler ended it."""
        entry = self.entries[trial_id]
        entry.give_back(self.elapsed)
        entry.running, entry.paused, entry.stop, entry.ended_at = False, False, stop, self.elapsed
        self.endings.append(entry)

    def refused(self, trial_id: str, stop: Stop) -> None:
        """Note that a trial is not started."""
        self.entries[trial_id].refusal = stop

    def failed(self, trial_id: str, failure: TrialFailure) -> None:
        """Note that a trial was lost, and that it is not started again."""
        self.entries[trial_id].failure = failure
        self.ended(trial_id)

    def trials(self) -> list[TrialRecord]:
        """Make the rows of trials.parquet: stages in order, plans in order."""
        made = [self._trial_record(entry) for entry in self.entries.values()]
        stages = {"tune": 0, "confirm": 1}
        return sorted(
            [*self._kept.values(), *made], key=lambda trial: (stages[trial.stage], trial.order)
        )

    def evaluations(self) -> list[EvalRecord]:
        """Make the rows of evaluations.parquet."""
        rows = [row for entry in self.entries.values() for row in eval_records(entry)]
        return [*self._kept_evaluations, *rows]

    def _trial_record(self, entry: TrialState) -> TrialRecord:
        best = entry.best
        clock = entry.end or (entry.evaluations[-1][0] if entry.evaluations else None)
        about_start = dict(vars(entry.start)) if entry.start else {}
        about_start.pop("earlier", None)  # these have rows of their own
        return TrialRecord(
            **{key: value for key, value in vars(entry.plan).items() if key != "hyperparameters"},
            **about_start,
            hyperparameters=json.dumps(dict(entry.plan.hyperparameters), sort_keys=True),
            status=entry.status,
            ending=entry.ending,
            reason=entry.reason,
            error=entry.failure.error if entry.failure else None,
            steps=entry.last_step,
            best_step=best.step if best else None,
            best_value=best.metrics[self.metric] if best else None,
            train_seconds=clock.train_seconds if clock else None,
            eval_seconds=clock.eval_seconds if clock else None,
            test_seconds=entry.end.test_seconds if entry.end else None,
            retries=sum(lost == entry.plan.trial_id for lost, _ in self.losses),
            starts=entry.starts,
            held_seconds=entry.held_until(self.elapsed) if entry.starts else None,
        )


def eval_records(entry: TrialState) -> Sequence[EvalRecord]:
    """Make the rows of evaluations.parquet of one trial, by step, the test last."""
    rows = [
        _eval_record(entry.plan, "validation", evaluation, evaluation.metrics, seconds)
        for evaluation, seconds in entry.evaluations
    ]
    if entry.end and entry.end.test_metrics and rows:
        last, _ = entry.evaluations[-1]
        rows.append(_eval_record(entry.plan, "test", last, entry.end.test_metrics, entry.ended_at))
    return rows


def _eval_record(
    plan: TrialPlan,
    split: Split,
    point: Evaluation,
    metrics: Mapping[str, float],
    experiment_seconds: float,
) -> EvalRecord:
    return EvalRecord(
        trial_id=plan.trial_id,
        stage=plan.stage,
        model=plan.model,
        split=split,
        step=point.step,
        epoch=point.epoch,
        examples_seen=point.examples_seen,
        train_seconds=point.train_seconds,
        eval_seconds=point.eval_seconds,
        experiment_seconds=experiment_seconds,
        **metrics,
    )
