"""A trial played to a journal, and a tracker that notes what it hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from raycompare.records.journal import Journal
from raycompare.records.messages import Evaluation, TrialEnd, TrialPlan, TrialStart
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.trackers.threads import Trackers, TrackerThread
from raycompare.running.trackers.tracker import Outcome, TrackedRun, Tracker, numbers_of
from tests import runs

WANTED = runs.experiment("a", "b", trackers=[])
PLAN = TrialPlan(
    trial_id="a-1",
    stage="confirm",
    model="a",
    order=0,
    seed=3,
    is_default=False,
    hyperparameters={"learning_rate": 1e-4, "optim": "sgd"},
)


@dataclass
class Noted:
    """A tracker that notes what it is told."""

    fails_at: str = ""
    told: list[tuple[Any, ...]] = field(default_factory=list)
    kept: tuple[str, ...] = ()
    last_step: int = -1

    def _note(self, *words: Any) -> None:
        if self.fails_at == words[0]:
            raise ConnectionError("no answer from https://me:secret@server/api\nand more")
        self.told.append(words)

    def open(self) -> None:
        self._note("open")

    def has(self, trial_id: str) -> bool:
        return trial_id in self.kept

    def begin(self, trial: TrialRecord) -> int:
        self._note("begin", trial.trial_id)
        return self.last_step

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        self._note("log", *((row.split, row.step) for row in rows))

    def end(self, trial: TrialRecord) -> None:
        self._note("end", trial.trial_id, trial.status)

    def finish(self, outcome: Outcome) -> None:
        self._note("finish", outcome.leader)

    def close(self) -> None:
        self._note("close")


def journal_with(
    tracker: Tracker,
    said: list[str] | None = None,
    name: str = "noted",
    earlier: Journal | None = None,
) -> tuple[Journal, Trackers]:
    """Return a journal that a tracker follows, of a run that resumes that of `earlier`."""
    journal = Journal("loss", "min")
    if earlier:
        journal.keep(earlier.trials(), earlier.evaluations())
    trackers = Trackers([TrackerThread(name, tracker)], [].append if said is None else said.append)
    trackers.follow(journal)
    return journal, trackers


def start(*earlier: Evaluation) -> TrialStart:
    return TrialStart(
        started_at="2026-01-02T03:04:05+00:00",
        startup_seconds=0.1,
        planned_steps=40,
        examples_per_step=16.0,
        num_parameters=10,
        device="cpu",
        precision="fp32",
        hostname="here",
        num_threads=1,
        earlier=earlier,
    )


def at(step: int) -> Evaluation:
    mcc = step / 100
    return Evaluation(
        step=step,
        epoch=step / 10,
        examples_seen=16 * step,
        train_seconds=0.5 * step,
        eval_seconds=0.1,
        metrics=runs.scores(mcc),
    )


def end(step: int, test: float | None = None) -> TrialEnd:
    metrics = None if test is None else runs.scores(test)
    return TrialEnd(
        reason="full_budget", step=step, train_seconds=2.0, eval_seconds=0.1, test_metrics=metrics
    )


def play(journal: Journal, plan: TrialPlan = PLAN, test: float | None = 0.5) -> None:
    """Have a trial start, be evaluated twice, and end well."""
    journal.add(plan)
    journal.start(plan.trial_id)
    for message in (start(), at(10), at(20), end(20, test)):
        journal.record(plan.trial_id, message)
    journal.end(plan.trial_id)


def tracked(place: Path) -> TrackedRun:
    return TrackedRun(run_id="run-1", experiment=WANTED, folder=RunFolder.at(place))


def expected(rows: Sequence[EvalRecord]) -> dict[tuple[str, int], float]:
    numbers = {(name, r.step): v for r in rows for name, v in numbers_of(r).items()}
    return {key: pytest.approx(value, rel=1e-6) for key, value in numbers.items()}
