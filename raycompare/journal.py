"""Takes down what happens while a run goes on, and makes the records from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from raycompare.metrics import MetricName, Mode, better
from raycompare.record import (
    FINISHED,
    STATUS_OF,
    Ending,
    EvalRecord,
    Evaluation,
    Message,
    Split,
    Status,
    TrialEnd,
    TrialPlan,
    TrialRecord,
    TrialStart,
)


@dataclass
class Entry:
    """All that is known of one trial of this run."""

    plan: TrialPlan
    start: TrialStart | None = None
    evaluations: list[tuple[Evaluation, float]] = field(default_factory=list)
    """Each with the seconds since the run began."""
    best: Evaluation | None = None
    """The best evaluation on the validation split; the first of equals."""
    end: TrialEnd | None = None
    ended_at: float = 0.0
    stop_reason: str | None = None
    error: str | None = None
    cause: str = ""
    running: bool = False

    @property
    def ending(self) -> Ending:
        """How the trial ended, were the run to end now."""
        if self.error is not None:
            return "error"
        if self.end is not None:
            return self.end.reason
        if self.stop_reason is not None:
            return "rung"
        return "cut_short" if self.running or self.start else "not_run"

    @property
    def status(self) -> Status:
        """How the trial stands, were the run to end now."""
        return STATUS_OF[self.ending]

    @property
    def has_ended(self) -> bool:
        """Say whether the trial ran and reports no more."""
        return not self.running and self.status != "not_run"

    @property
    def reason(self) -> str:
        """Why the trial ended, in a few words."""
        detail = self.end.detail if self.end else self.stop_reason
        return self.cause or detail or self.ending.replace("_", " ")

    @property
    def last_step(self) -> int:
        """The optimizer steps taken, as far as reported."""
        if self.end is not None:
            return self.end.step
        return self.evaluations[-1][0].step if self.evaluations else 0

    def restarted(self) -> None:
        """Forget what a trial said before it was started again."""
        self.start, self.best, self.end, self.error, self.stop_reason = None, None, None, None, None
        self.cause = ""
        self.evaluations.clear()
        self.running = True


class Journal:
    """The trials of a run in the order they were planned, with those kept of an earlier one."""

    def __init__(self, metric: MetricName, mode: Mode) -> None:
        """Start the run's clock."""
        self.metric, self.mode = metric, mode
        self.entries: dict[str, Entry] = {}
        self.endings: list[Entry] = []
        """In the order they came; twice if a trial was started again."""
        self._kept: dict[str, TrialRecord] = {}
        self._kept_evaluations: list[EvalRecord] = []
        self._began = perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return perf_counter() - self._began

    def keep(self, trials: Iterable[TrialRecord], evaluations: Iterable[EvalRecord]) -> None:
        """Take over the finished trials of an earlier, interrupted run."""
        self._kept = {trial.trial_id: trial for trial in trials if trial.status in FINISHED}
        self._kept_evaluations = [row for row in evaluations if row.trial_id in self._kept]
        self._began -= max((row.experiment_seconds for row in self._kept_evaluations), default=0)

    def add(self, plans: Iterable[TrialPlan]) -> list[TrialPlan]:
        """Note the plans of a stage; return those that an earlier run has not finished."""
        todo = [plan for plan in plans if plan.trial_id not in self._kept]
        self.entries |= {plan.trial_id: Entry(plan) for plan in todo}
        return todo

    def kept_evaluations(self, trial_id: str) -> list[EvalRecord]:
        """Return the evaluations of a trial that an earlier run has finished; else none."""
        return [row for row in self._kept_evaluations if row.trial_id == trial_id]

    def started(self, trial_id: str) -> None:
        """Note that a trial has been given its resources."""
        self.entries[trial_id].restarted()

    def heard(self, trial_id: str, message: Message) -> None:
        """Note what a trial reported."""
        entry = self.entries[trial_id]
        match message:
            case TrialStart():
                entry.start = message
            case Evaluation():
                entry.evaluations.append((message, self.elapsed))
                than = entry.best.metrics[self.metric] if entry.best else None
                if better(message.metrics[self.metric], than, self.mode):
                    entry.best = message
            case TrialEnd():
                entry.end = message

    def ended(self, trial_id: str, stop_reason: str | None = None) -> None:
        """Note that a trial reports no more; `stop_reason` if the scheduler stopped it."""
        entry = self.entries[trial_id]
        entry.running, entry.stop_reason, entry.ended_at = False, stop_reason, self.elapsed
        self.endings.append(entry)

    def failed(self, trial_id: str, cause: str, error: str) -> None:
        """Note that a trial raised; `cause` is one line, `error` the whole traceback."""
        self.ended(trial_id)
        entry = self.entries[trial_id]
        entry.cause, entry.error = cause, error

    def trials(self) -> list[TrialRecord]:
        """Make the rows of trials.parquet: stages in order, plans in order."""
        made = [self._trial_record(entry) for entry in self.entries.values()]
        stages = {"tune": 0, "confirm": 1}
        return sorted(
            [*self._kept.values(), *made], key=lambda trial: (stages[trial.stage], trial.order)
        )

    def evaluations(self) -> list[EvalRecord]:
        """Make the rows of evaluations.parquet."""
        rows = [row for entry in self.entries.values() for row in _eval_records(entry)]
        return [*self._kept_evaluations, *rows]

    def _trial_record(self, entry: Entry) -> TrialRecord:
        best = entry.best
        clock = entry.end or (entry.evaluations[-1][0] if entry.evaluations else None)
        about_start = vars(entry.start) if entry.start else {}
        return TrialRecord(
            **{key: value for key, value in vars(entry.plan).items() if key != "hyperparameters"},
            **about_start,
            hyperparameters=json.dumps(dict(entry.plan.hyperparameters), sort_keys=True),
            status=entry.status,
            ending=entry.ending,
            reason=entry.reason,
            error=entry.error,
            steps=entry.last_step,
            best_step=best.step if best else None,
            best_value=best.metrics[self.metric] if best else None,
            train_seconds=clock.train_seconds if clock else None,
            eval_seconds=clock.eval_seconds if clock else None,
            test_seconds=entry.end.test_seconds if entry.end else None,
        )


def _eval_records(entry: Entry) -> Sequence[EvalRecord]:
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
