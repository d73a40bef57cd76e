"""The journal of a run: takes messages of trials, and makes the records from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

from raycompare.metrics import MetricName, Mode, better
from raycompare.records.messages import (
    Evaluation,
    Message,
    Stage,
    Stop,
    TaskFailure,
    TrialEnd,
    TrialFailure,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import FINISHED, EvalRecord, Split, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.trial_state import TrialState

Observer = Callable[[TrialState], None]
"""Called with a trial after each change of its state, from the thread that runs the stage."""

OLD_DIGITS = 8
"""Digits of the ids that earlier versions gave trials; they begin those of today."""


class Journal:
    """The trials of a run in the order of their plans, and those kept from earlier sessions."""

    def __init__(self, metric: MetricName, mode: Mode) -> None:
        """Start the run's clock."""
        self.metric, self.mode = metric, mode
        self.entries: dict[str, TrialState] = {}
        self.endings: list[TrialState] = []
        """Trials in the order in which they ended; twice if one was restarted."""
        self.observers: list[Observer] = []
        self.starts: Counter[str] = Counter()
        """Number of trials started, keyed by model name."""
        self._kept: dict[str, TrialRecord] = {}
        self._cut: dict[str, TrialRecord] = {}
        self._by_digest: dict[str, TrialRecord] = {}
        self._kept_evaluations: dict[str, list[EvalRecord]] = {}
        self._seen_at: dict[tuple[str, int], float] = {}
        """When an evaluation first arrived, keyed by trial and step; spans all sessions."""
        self._began = perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, without the time between sessions."""
        return perf_counter() - self._began

    def keep(self, trials: Sequence[TrialRecord], evaluations: Sequence[EvalRecord]) -> None:
        """Take over the finished trials of earlier sessions, and the plans of all others."""
        self._kept = {trial.trial_id: trial for trial in trials if trial.status in FINISHED}
        self._cut = {t.trial_id: t for t in trials if t.trial_id not in self._kept}
        self._by_digest = {trial.trial_id.rpartition("-")[2]: trial for trial in trials}
        self._kept_evaluations = {trial_id: [] for trial_id in self._kept}
        for row in evaluations:
            if row.trial_id in self._kept:
                self._kept_evaluations[row.trial_id].append(row)
        self._seen_at = {
            (row.trial_id, row.step): row.experiment_seconds
            for row in evaluations
            if row.split == "validation"
        }
        self.starts.update(trial.model for trial in trials if trial.status in FINISHED)
        self._began -= max((row.experiment_seconds for row in evaluations), default=0)

    @property
    def kept(self) -> list[TrialRecord]:
        """The trials that earlier sessions finished."""
        return list(self._kept.values())

    @contextmanager
    def observed_by(self, observer: Observer) -> Iterator[None]:
        """Call the observer until the context ends."""
        self.observers.append(observer)
        try:
            yield
        finally:
            self.observers.remove(observer)

    def _notify(self, entry: TrialState) -> None:
        for observer in self.observers:
            observer(entry)

    def earlier_plans(self, stage: Stage) -> dict[int, TrialRecord]:
        """Return the trials planned by earlier sessions, keyed by their order in the stage."""
        trials = (*self._kept.values(), *self._cut.values())
        return {trial.order: trial for trial in trials if trial.stage == stage}

    def with_recorded_id(self, plan: TrialPlan) -> TrialPlan:
        """Return the plan under the id that an earlier session gave its trial.

        Ids of earlier versions have `OLD_DIGITS`, and some begin with a dot.
        """
        digest = plan.trial_id.rpartition("-")[2]
        before = self._by_digest.get(digest) or self._by_digest.get(digest[:OLD_DIGITS])
        if before and (before.stage, before.model, before.order) == _place_of(plan):
            return replace(plan, trial_id=before.trial_id)
        return plan

    def add(self, plan: TrialPlan) -> bool:
        """Add a plan; return whether the trial still has to run."""
        if plan.trial_id in self._kept:
            return False
        before = self._cut.get(plan.trial_id)
        starts, held = (before.starts, before.held_seconds or 0.0) if before else (0, 0.0)
        self.entries[plan.trial_id] = TrialState(plan, starts=starts, held=held)
        return True

    def kept_evaluations(self, trial_id: str) -> list[EvalRecord]:
        """Return the evaluations of a trial that an earlier session finished, else none."""
        return self._kept_evaluations.get(trial_id, [])

    def ended_by_itself(self, trial_id: str) -> bool:
        """Return whether an earlier session trained a trial to its own end."""
        return trial_id in self._kept and self._kept[trial_id].status == "completed"

    def start(self, trial_id: str) -> None:
        """Record that a trial has got its resources."""
        entry = self.entries[trial_id]
        if not entry.start:
            self.starts[entry.plan.model] += 1
        entry.starts += 1
        entry.held_since = self.elapsed
        entry.phase, entry.stop, entry.failure = "running", None, None
        self._notify(entry)

    def record(self, trial_id: str, message: Message) -> None:
        """Record a message of a trial."""
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
        self._notify(entry)

    def _begin(self, entry: TrialState, start: TrialStart) -> None:
        """Replace everything reported before a restart with what the trial itself brings along."""
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

    def pause(self, trial_id: str) -> None:
        """Record that a trial has released its resources and may continue later."""
        entry = self.entries[trial_id]
        entry.give_back(self.elapsed)
        entry.phase = "paused"
        self._notify(entry)

    def lose(self, trial_id: str, cause: str) -> None:
        """Record that a trial has lost its worker and will be restarted."""
        entry = self.entries[trial_id]
        entry.give_back(self.elapsed)
        entry.phase = "waiting"
        entry.losses.append(cause)
        self._notify(entry)

    def end(self, trial_id: str, stop: Stop | None = None) -> None:
        """Record that a trial will not report again; `stop` is why the scheduler ended it."""
        entry = self.entries[trial_id]
        entry.give_back(self.elapsed)
        entry.phase, entry.stop, entry.ended_at = "ended", stop, self.elapsed
        self.endings.append(entry)
        self._notify(entry)

    def refuse(self, trial_id: str, stop: Stop) -> None:
        """Record that the scheduler does not start a trial."""
        entry = self.entries[trial_id]
        entry.phase, entry.refusal = "ended", stop
        self._notify(entry)

    def fail(self, trial_id: str, failure: TaskFailure) -> None:
        """Record that a trial was lost and will not be restarted."""
        self.entries[trial_id].failure = failure
        self.end(trial_id)

    def trials(self) -> list[TrialRecord]:
        """Make the rows of trials.parquet, sorted by stage and plan."""
        rows = [*self._kept.values(), *map(self.make_record, list(self.entries.values()))]
        return sorted(rows, key=lambda trial: (trial.stage != "tune", trial.order))

    def evaluations(self) -> list[EvalRecord]:
        """Make the rows of evaluations.parquet."""
        rows = [row for entry in list(self.entries.values()) for row in eval_records(entry)]
        return [*(row for kept in self._kept_evaluations.values() for row in kept), *rows]

    def write(self, folder: RunFolder) -> None:
        """Update the records in the run folder."""
        folder.write_rows(self.evaluations(), EvalRecord)
        folder.write_rows(self.trials(), TrialRecord)

    def make_record(self, entry: TrialState) -> TrialRecord:
        """Make the row of trials.parquet of one trial."""
        best = entry.best
        clock = entry.end or (entry.evaluations[-1][0] if entry.evaluations else None)
        about_start = dict(vars(entry.start)) if entry.start else {}
        about_start.pop("earlier", None)  # evaluations have their own file
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
            retries=len(entry.losses),
            starts=entry.starts,
            held_seconds=entry.held_until(self.elapsed) if entry.starts else None,
        )


def _place_of(plan: TrialPlan) -> tuple[Stage, str, int]:
    return plan.stage, plan.model, plan.order


def eval_records(entry: TrialState) -> Sequence[EvalRecord]:
    """Make the evaluation rows of one trial, sorted by step, the test last."""
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
