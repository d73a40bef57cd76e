"""Runs each tracker in its own thread, so that a slow one delays no trial."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from raycompare.errors import summarize
from raycompare.records.journal import Journal, eval_records
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.trial_state import TrialState
from raycompare.running.trackers.tracker import Outcome, Tracker

CLOSE_SECONDS = 60.0
"""How long the end of a run waits until the trackers have sent their data."""
SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
"""Environment variables whose values must not appear in messages."""


class TrackerThread:
    """A tracker and its thread."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        """Start the thread, which opens the tracker."""
        self.name, self.failure = name, ""
        self._tracker = tracker
        self._steps: dict[str, int] = {}
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
        """Log the evaluations of a trial, except those that are already logged."""
        self._put(partial(self._log, trial, rows, ended))

    def log_if_missing(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Log a trial that an earlier session finished, if that session did not log it."""
        self._put(partial(self._log_if_missing, trial, rows))

    def finish(self, outcome: Outcome) -> None:
        """Add the report."""
        self._put(partial(self._tracker.finish, outcome))

    def close(self) -> None:
        """Let the tracker send its data, then end the thread."""
        self._put(self._tracker.close)
        self._jobs.put(None)

    def wait(self, until: float) -> None:
        """Wait for the thread to end; `until` is a time of `perf_counter`."""
        self._thread.join(max(until - perf_counter(), 0.0))
        if self._thread.is_alive():
            self.failure = self.failure or f"not all data was sent within {CLOSE_SECONDS:g} s"

    def _put(self, job: Callable[[], None]) -> None:
        if not self.failure:
            self._jobs.put(job)

    def _work(self) -> None:
        try:
            self._tracker.open()
            while (job := self._jobs.get()) is not None:
                job()
        except Exception as error:  # noqa: BLE001 - turns the tracker off, with a warning
            self.failure = without_secrets(error)

    def _log_if_missing(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        if not self._tracker.has(trial.trial_id):
            self._log(trial, rows, ended=True)

    def _log(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
        name = trial.trial_id
        if name not in self._steps:
            self._steps[name] = self._tracker.begin(trial)
        new = [r for r in rows if r.split == "validation" and r.step > self._steps[name]]
        if new:
            self._steps[name] = new[-1].step
        new += [row for row in rows if row.split == "test" and ended]
        if new:
            self._tracker.log(trial, new)
        if ended:
            self._tracker.end(trial)
            del self._steps[name]


def without_secrets(error: Exception) -> str:
    """Return the type and first line of an error, without passwords and tokens."""
    text = summarize(error)
    for secret in filter(None, (os.environ.get(name) for name in SECRETS)):
        text = text.replace(secret, "...")
    return re.sub(r"://[^/\s@]+@", "://...@", text)


class Trackers:
    """The trackers of a run."""

    def __init__(self, lanes: Sequence[TrackerThread], say: Callable[[str], None]) -> None:
        """Forward events to `lanes`, and print the failure of each one with `say`."""
        self._lanes, self._say = lanes, say
        self._reported: set[str] = set()
        self._closed = False

    @property
    def failures(self) -> dict[str, str]:
        """Reason why each tracker is off, keyed by its name; empty if it works."""
        return {lane.name: lane.failure for lane in self._lanes}

    def follow(self, journal: Journal) -> None:
        """Log trials of earlier sessions that are not logged yet, and every change from now on."""
        for trial in journal.kept:
            for lane in self._lanes:
                lane.log_if_missing(trial, journal.kept_evaluations(trial.trial_id))
        journal.observers.append(partial(self._log, journal))

    def _log(self, journal: Journal, trial: TrialState) -> None:
        if trial.start is None and trial.failure is None:
            return
        record, rows = journal.make_record(trial), eval_records(trial)
        for lane in self._lanes:
            lane.log(record, rows, trial.phase == "ended")
        self._warn()

    def finish(self, outcome: Outcome) -> None:
        """Add the report of a completed run, and close."""
        for lane in self._lanes:
            lane.finish(outcome)
        self.close()

    def close(self) -> None:
        """Send the remaining data; further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        until = perf_counter() + CLOSE_SECONDS
        for lane in self._lanes:
            lane.close()
        for lane in self._lanes:
            lane.wait(until)
        self._warn()

    def _warn(self) -> None:
        for name, failure in self.failures.items():
            if failure and name not in self._reported:
                self._reported.add(name)
                self._say(f"{name} is off for the rest of this run: {failure}")
